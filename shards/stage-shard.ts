/**
 * The Durable Object of one stage of one replica, and the script that holds it. Every stage is a deployment of this
 * script with its own assets, bindings and `STAGE` variable; stage 0 is the head.
 */
import { DurableObject } from 'cloudflare:workers';
import kernels from '../wasm/build/kernels.wasm';
import { createStageRuntime } from '../wasm/host/stage-runtime.ts';
import { HeadEngine } from './engine/engine.ts';
import type { PrefixClient, PromptPrefix, WarmPrefixRequest } from './engine/prefix-protocol.ts';
import type { EngineStats, GenerateRequest } from './engine/protocol.ts';
import { FeatureExtractor } from './features/feature-extractor.ts';
import type { FeatureAnswer, FeatureRequest } from './features/feature-protocol.ts';
import { RingHead } from './link/ring-head.ts';
import {
  RING_TIMINGS,
  type OpenStageRequest,
  type OpenStageResult,
  type PageEdit,
  type PageEditResult,
  type RingTimings,
} from './link/ring-protocol.ts';
import { StageNode } from './link/stage-node.ts';
import type { StageAssignment } from './model/assignment.ts';
import { parseAssignment } from './model/parse-assignment.ts';
import { RuntimeHost } from './model/runtime-host.ts';
import { bindingAssets } from './platform/cloudflare/binding-assets.ts';
import { DrainMark } from './platform/drain-mark.ts';
import { LINK_PATH, shardConnector, shardControl, type ShardStub } from './platform/cloudflare/shard-stub.ts';
import { SqlitePageStore } from './platform/cloudflare/sqlite-page-store.ts';
import { WebSocketLink } from './platform/cloudflare/websocket-link.ts';
import { systemClock, systemEntropy } from './platform/system.ts';

/** Bindings of a stage script. The head also has `STAGE_1`, `STAGE_2`, … up to the last stage. */
export interface StageEnv {
  /** JSON of a `StageAssignment`. */
  readonly STAGE: string;
  /** Name of the one object of the script: see `replicaName`. */
  readonly REPLICA: string;
  /** The stage's files of the converted model. */
  readonly ASSETS: Fetcher;
  /** Shards of the next stage of the ring. */
  readonly NEXT: ShardNamespace;
}

/** A Durable Object namespace whose objects are shards. */
export interface ShardNamespace {
  getByName(name: string): ShardStub;
}

/** Health of one shard, for operators and tests. */
export interface ShardHealth {
  readonly stageIndex: number;
  readonly stageCount: number;
  readonly isOpen: boolean;
  /** Why the last epoch ended, for people. */
  readonly lastClose: string;
}

/**
 * The isolate's memory, by stage: a script is deployed for one, so there is one. Outside of the object, since weights
 * outlive it and several objects may share an isolate.
 */
const hosts = new Map<string, RuntimeHost>();

function hostFor(assignment: StageAssignment): RuntimeHost {
  const key = JSON.stringify(assignment);
  let host = hosts.get(key);
  if (host === undefined) {
    host = new RuntimeHost({
      assignment,
      createRuntime: (options) => createStageRuntime(kernels, options),
      clock: systemClock,
      entropy: systemEntropy,
    });
    hosts.set(key, host);
  }
  return host;
}

type Role =
  | {
      readonly kind: 'head';
      readonly engine: HeadEngine;
      readonly features: FeatureExtractor;
      readonly ring: RingHead;
    }
  | { readonly kind: 'stage'; readonly node: StageNode };

export class StageShard extends DurableObject<StageEnv> {
  readonly #assignment: StageAssignment;
  readonly #pageStore: SqlitePageStore;
  readonly #role: Role;
  readonly #drainMark: DrainMark;

  constructor(ctx: DurableObjectState, env: StageEnv) {
    super(ctx, env);
    this.#assignment = this.readAssignment();
    this.#pageStore = new SqlitePageStore({ storage: ctx.storage, clock: systemClock, scope: this.#assignment });
    this.#role = this.#createRole(this.#assignment);
    this.#drainMark = new DrainMark(ctx.storage.kv, () => Date.now());
  }

  /** Starts a generation: see `HeadClient`. Head only. */
  generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>> {
    return this.#engine().generate(request);
  }

  /** Pins what prompts begin with: see `PrefixClient`. Head only. */
  warmPrefix(request: WarmPrefixRequest): ReturnType<PrefixClient['warmPrefix']> {
    return this.#engine().warmPrefix(request);
  }

  /** Head only. */
  unpinPrefix(prefix: PromptPrefix): ReturnType<PrefixClient['unpinPrefix']> {
    return this.#head().engine.unpinPrefix(prefix);
  }

  /** Head only. */
  deleteTenant(cacheSalt: string): ReturnType<PrefixClient['deleteTenant']> {
    return this.#head().engine.deleteTenant(cacheSalt);
  }

  /** Takes nothing new until `resume`, or for `DRAIN_MS_MAX`: see `DrainClient`. Head only. */
  drain(): Promise<void> {
    this.#drainMark.set();
    return this.#head().engine.drain();
  }

  /** Head only. */
  resume(): Promise<void> {
    this.#drainMark.clear();
    return this.#head().engine.resume();
  }

  /** Features of texts, for classification and embeddings: see `FeatureHead`. Head only. */
  extractFeatures(request: FeatureRequest): Promise<FeatureAnswer> {
    return this.#head().features.extractFeatures(request);
  }

  /** Head only. */
  stats(): Promise<EngineStats> {
    return this.#engine().stats();
  }

  health(): ShardHealth {
    const { stageIndex, stageCount } = this.#assignment;
    const { isOpen, lastClose } =
      this.#role.kind === 'head'
        ? { isOpen: this.#role.ring.isOpen, lastClose: this.#role.ring.closeReason.message }
        : this.#role.node;
    return { stageIndex, stageCount, isOpen, lastClose };
  }

  /** Takes part in a new epoch: see `StageControl` and `ShardStub`. Every stage but the head. */
  async openStage(request: OpenStageRequest): Promise<OpenStageResult> {
    if (this.#role.kind === 'head') {
      const message = 'the head was asked to be another stage: the bindings of the ring are mixed up';
      return { ok: false, error: { code: 'wrong_assignment', retryable: false, message } };
    }
    return this.#role.node.openStage(request);
  }

  /** Edits what this stage keeps: see `StageControl`. Every stage but the head. */
  async editPages(edit: PageEdit): Promise<PageEditResult> {
    if (this.#role.kind === 'head') {
      throw new Error('the head was asked to be another stage: the bindings of the ring are mixed up');
    }
    return this.#role.node.editPages(edit);
  }

  /** The upgrade request with which the previous stage opens its link. */
  override fetch(request: Request): Response {
    if (new URL(request.url).pathname !== LINK_PATH || request.headers.get('Upgrade') !== 'websocket') {
      return new Response('not a link', { status: 426, headers: { Upgrade: 'websocket' } });
    }
    const [near, far] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
    const link = new WebSocketLink(near);
    if (this.#role.kind === 'head') {
      this.#role.ring.acceptLink(link);
    } else {
      this.#role.node.acceptLink(link);
    }
    return new Response(null, { status: 101, webSocket: far });
  }

  /** Pages whose time is over, and those of other weights, do not stay. */
  override alarm(): void {
    this.#pageStore.prune();
  }

  /** How long this object waits for the others. */
  protected readTimings(): RingTimings {
    return RING_TIMINGS;
  }

  /** What this object serves. */
  protected readAssignment(): StageAssignment {
    return parseAssignment(this.env.STAGE);
  }

  /** The same replica's object of the next stage. */
  protected nextShard(): ShardStub {
    return this.env.NEXT.getByName(this.replicaName());
  }

  /** The same replica's object of any other stage. Head only. */
  protected shardOfStage(stageIndex: number): ShardStub {
    const name = `STAGE_${stageIndex}`;
    const namespace = (this.env as unknown as Readonly<Record<string, ShardNamespace | undefined>>)[name];
    if (namespace === undefined) {
      throw new Error(`the head has no binding ${name}: deploy it with the configuration that was generated`);
    }
    return namespace.getByName(this.replicaName());
  }

  /** All objects of a replica have its name, each in its own namespace. */
  protected replicaName(): string {
    // An object that was called from another process of the local runtime knows its id but not its name.
    return this.ctx.id.name ?? this.env.REPLICA;
  }

  #createRole(assignment: StageAssignment): Role {
    const shared = {
      assignment,
      owner: this.ctx.id.toString(),
      host: hostFor(assignment),
      assets: bindingAssets(this.env.ASSETS),
      connectNext: shardConnector(() => this.nextShard()),
      clock: systemClock,
      pageStore: this.#pageStore,
      timings: this.readTimings(),
    };
    if (assignment.stageIndex > 0) {
      return { kind: 'stage', node: new StageNode(shared) };
    }
    const stages = Array.from({ length: assignment.stageCount - 1 }, (_, i) =>
      shardControl(() => this.shardOfStage(i + 1)),
    );
    const ring = new RingHead({ ...shared, stages, entropy: systemEntropy });
    const features = new FeatureExtractor({ ...shared, isRingInUse: () => ring.isInUse });
    const { idleCloseMs } = shared.timings;
    const engine = new HeadEngine({ assignment, ring, clock: systemClock, pace: features.pace, idleCloseMs });
    return { kind: 'head', engine, features, ring };
  }

  /** The engine, which drains as long as it shall, in this life of the object as in the one before. */
  #engine(): HeadEngine {
    const { engine } = this.#head();
    void (this.#drainMark.isSet ? engine.drain() : engine.resume());
    return engine;
  }

  #head(): Extract<Role, { kind: 'head' }> {
    if (this.#role.kind !== 'head') {
      throw new Error(`stage ${this.#assignment.stageIndex} does not answer requests: ask stage 0`);
    }
    return this.#role;
  }
}

export default {
  /** A stage has no address of its own; it is reached through bindings. */
  fetch(): Response {
    return new Response('not found', { status: 404 });
  },
};
