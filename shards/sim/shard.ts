/** One stage of one replica in a simulation: an object in an isolate, killed and started again, and what outlives it. */
import { createStageRuntime, type StageRuntime } from '../../wasm/host/stage-runtime.ts';
import { HeadEngine } from '../engine/engine.ts';
import { RingHead } from '../link/ring-head.ts';
import type { StageControl } from '../link/ring-protocol.ts';
import { StageNode } from '../link/stage-node.ts';
import type { StageAssignment } from '../model/assignment.ts';
import { RuntimeHost } from '../model/runtime-host.ts';
import { SqlitePageStore } from '../platform/cloudflare/sqlite-page-store.ts';
import type { AssetSource } from '../platform/assets.ts';
import type { Entropy } from '../platform/clock.ts';
import type { FrameLink, LinkConnector } from '../platform/link.ts';
import { spoilResult, spoilStore, type Canary } from './canary.ts';
import type { EventQueue } from './event-queue.ts';
import { memoryAssets, type ModelRelease, type SyncSha256Hex } from './model-files.ts';
import type { SimNetwork } from './network.ts';
import { assignmentOf, type ClusterPlan } from './plan.ts';
import { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import { SimLinkEnd } from './sim-link.ts';
import { SimStorage } from './sim-storage.ts';
import type { Totals } from './totals.ts';

export interface ShardOptions {
  readonly replicaIndex: number;
  readonly stageIndex: number;
  readonly plan: ClusterPlan;
  /** What it starts with unless told otherwise. */
  readonly release: ModelRelease;
  readonly canary: Canary | null;
  readonly events: EventQueue;
  readonly network: SimNetwork;
  readonly entropy: Entropy;
  readonly kernels: WebAssembly.Module;
  readonly sha256: SyncSha256Hex;
  readonly random: Random;
  readonly totals: Totals;
}

export type ShardRole =
  | { readonly kind: 'head'; readonly engine: HeadEngine; readonly ring: RingHead }
  | { readonly kind: 'stage'; readonly node: StageNode };

/** What exists while the object lives. */
export interface ShardObject {
  readonly process: SimProcess;
  readonly store: SqlitePageStore;
  readonly role: ShardRole;
}

/** How an object ends: a reset leaves its isolate, with weights and pages. */
export type Ending = 'reset' | 'kill' | 'kill_while_writing';

/** Of a page that nobody uses: some are forgotten before the end of a seed. */
const STORE_TTL_MS = 60_000;
/** Enough for the larger of the two budgets. */
const STORE_PAGES_MAX = 4_096;
/** Until a write is durable, on average. */
const FLUSH_MS = 20;
/** Time that a file of weights takes, on average. */
const ASSET_LATENCY_MS = 3;

export class SimShard {
  readonly name: string;
  readonly stageIndex: number;
  /** Survives everything. */
  readonly storage: SimStorage;
  readonly #options: ShardOptions;
  /** Shards of the same replica, by stage; set once all are there. */
  #ring: readonly SimShard[] = [];
  /** The isolate: survives a reset, not a kill. */
  #host: RuntimeHost | null = null;
  #object: ShardObject | null = null;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.name = `r${options.replicaIndex}s${options.stageIndex}`;
    this.stageIndex = options.stageIndex;
    const { events, random } = options;
    this.storage = new SimStorage({
      name: this.name,
      events,
      random,
      flushMs: FLUSH_MS,
      onAlarm: () => this.#object?.store.prune(),
    });
  }

  /** Null while it is down. */
  get object(): ShardObject | null {
    return this.#object;
  }

  joinRing(ring: readonly SimShard[]): void {
    this.#ring = ring;
  }

  start(release: ModelRelease = this.#options.release): void {
    const { events, plan, network } = this.#options;
    const process = new SimProcess(this.name, events);
    const assignment = assignmentOf(plan, release, this.stageIndex);
    const assets = memoryAssets(release, process, () => network.latency() + ASSET_LATENCY_MS);
    this.#host ??= this.#createHost(assignment);
    const limits = { bytesMax: plan.storeBytesMax, pagesMax: STORE_PAGES_MAX, ttlMs: STORE_TTL_MS };
    const deployed = new SqlitePageStore({ storage: this.storage, clock: process, scope: assignment, limits });
    const store = spoilStore(this.#options.canary, deployed);
    this.#object = { process, store, role: this.#createRole(process, assignment, assets, store, this.#host) };
  }

  stop(reason: string, ending: Ending): void {
    const object = this.#object;
    this.#object = null;
    if (ending !== 'reset') {
      this.#host = null;
    }
    if (object !== null) {
      this.#options.totals.addEngine(object.role);
      this.storage.crash(ending === 'kill_while_writing');
      object.process.kill(reason);
    }
  }

  /** Everything that it computes from now on takes `factor` times as long; 1 as a rule. */
  slowDown(factor: number): void {
    if (this.#object !== null) {
      this.#object.process.slowness = factor;
    }
  }

  acceptLink(link: FrameLink): void {
    const role = this.#object?.role;
    if (role?.kind === 'head') {
      role.ring.acceptLink(link);
    } else {
      role?.node.acceptLink(link);
    }
  }

  #createHost(assignment: StageAssignment): RuntimeHost {
    const { kernels, entropy, sha256, events } = this.#options;
    return new RuntimeHost({
      assignment,
      createRuntime: (options) => this.#timed(createStageRuntime(kernels, options)),
      clock: new SimProcess(`${this.name} isolate`, events),
      entropy,
      sha256,
    });
  }

  /** Computing takes time. */
  #timed(runtime: StageRuntime): StageRuntime {
    const { stepMs, tokenMs } = this.#options.plan;
    const forward = runtime.forward.bind(runtime);
    return Object.assign(runtime, {
      forward: (sequences: Parameters<StageRuntime['forward']>[0]): void => {
        forward(sequences);
        const numTokens = sequences.reduce((sum, sequence) => sum + sequence.numTokens, 0);
        this.#object?.process.spend(stepMs + tokenMs * numTokens);
      },
    });
  }

  #createRole(
    process: SimProcess,
    assignment: StageAssignment,
    assets: AssetSource,
    pageStore: SqlitePageStore,
    host: RuntimeHost,
  ): ShardRole {
    const { entropy, plan } = this.#options;
    const shared = {
      assignment,
      owner: this.name,
      host,
      assets,
      connectNext: this.#connector(process),
      clock: process,
      pageStore,
    };
    if (this.stageIndex > 0) {
      return { kind: 'stage', node: new StageNode(shared) };
    }
    const stages = this.#ring.slice(1).map((shard) => this.#controlOf(process, shard));
    const ring = watchRing(new RingHead({ ...shared, stages, entropy }), this.#options);
    return { kind: 'head', ring, engine: new HeadEngine({ assignment, ring, clock: process, limits: plan.limits }) };
  }

  #connector(process: SimProcess): LinkConnector {
    const { network } = this.#options;
    return () => {
      const next = this.#ring[(this.stageIndex + 1) % this.#ring.length] as SimShard;
      const peer = next.object?.process;
      if (peer === undefined) {
        return Promise.reject(new Error(`${next.name} is down`));
      }
      return network.call(process, peer, 'link', () => {
        const [near, far] = SimLinkEnd.pair(network, process, peer);
        next.acceptLink(far);
        return Promise.resolve(near);
      });
    };
  }

  #controlOf(process: SimProcess, shard: SimShard): StageControl {
    const { network } = this.#options;
    const call = async <T>(what: string, run: (node: StageNode) => Promise<T>): Promise<T> => {
      const object = shard.object;
      if (object === null) {
        throw new Error(`${shard.name} is down`);
      }
      return network.call(process, object.process, what, async () => {
        const { role } = object;
        if (role.kind !== 'stage') {
          throw new Error(`${shard.name} is a head`);
        }
        return structuredClone(await run(role.node));
      });
    };
    return {
      openStage: (request) => call('openStage', (node) => node.openStage(structuredClone(request))),
      editPages: (edit) => call('editPages', (node) => node.editPages(structuredClone(edit))),
    };
  }
}

/** Counts what a ring goes through, and gives it the bug that is switched on. */
function watchRing(ring: RingHead, { totals, canary }: ShardOptions): RingHead {
  const open = ring.open.bind(ring);
  const submit = ring.submit.bind(ring);
  return Object.assign(ring, {
    open: async (): ReturnType<RingHead['open']> => {
      const opened = await open();
      totals.addOpening(opened);
      return opened;
    },
    submit: async (step: Parameters<RingHead['submit']>[0]): ReturnType<RingHead['submit']> =>
      spoilResult(canary, await submit(step)),
  });
}
