/**
 * A whole ring in one script, for tests: an object's name says which stage of how many it is. When deployed each stage
 * is a script of its own.
 */
import {
  RING_TIMINGS,
  type OpenStageRequest,
  type OpenStageResult,
  type RingTimings,
} from '../../link/ring-protocol.ts';
import type { StageAssignment } from '../../model/assignment.ts';
import { MANIFEST_FILE } from '../../model/runtime-host.ts';
import type { ShardStub } from '../../platform/cloudflare/shard-stub.ts';
import { StageShard, type ShardNamespace, type StageEnv } from '../../stage-shard.ts';

export interface TestEnv extends StageEnv {
  readonly SHARD: ShardNamespace;
  readonly MANIFEST_SHA256: string;
}

/** Layers of the tiny model that the tests convert. */
const NUM_LAYERS = 5;

export function shardName(replicaName: string, stageIndex: number, stageCount: number): string {
  return `${replicaName}/${stageIndex}/${stageCount}`;
}

/** How often an object's memory was lost: the isolate of the tests itself lives on. */
const numMemoriesLost = new Map<string, number>();

/** Rings whose objects get no file of weights, and how many were asked for meanwhile. */
const numFilesHeld = new Map<string, number>();

export class TestShard extends StageShard {
  #numOpenings = 0;

  constructor(ctx: DurableObjectState, env: TestEnv) {
    super(ctx, { ...env, ASSETS: holdableAssets(env.ASSETS, nameParts(ctx.id.name as string)[0]) });
  }

  /** From now on, the objects of this ring wait for their weights for ever, or what they ask for from then on comes. */
  holdWeights(isHeld: boolean): Promise<void> {
    const [replica] = nameParts(this.replicaName());
    if (isHeld) {
      numFilesHeld.set(replica, 0);
    } else {
      numFilesHeld.delete(replica);
    }
    return Promise.resolve();
  }

  numFilesHeld(): Promise<number> {
    return Promise.resolve(numFilesHeld.get(nameParts(this.replicaName())[0]) ?? 0);
  }

  /** From the next life of this object on, it finds nothing of its weights and pages in memory. */
  loseMemory(): Promise<void> {
    const name = this.replicaName();
    numMemoriesLost.set(name, (numMemoriesLost.get(name) ?? 0) + 1);
    return Promise.resolve();
  }

  /** Ends the object in the middle of whatever it does, with its memory. */
  async abortSoon(): Promise<void> {
    await this.loseMemory();
    // Not before the caller has its answer, which would be an exception.
    setTimeout(() => this.ctx.abort('aborted by a test'), 0);
  }

  override openStage(request: OpenStageRequest): Promise<OpenStageResult> {
    this.#numOpenings++;
    return super.openStage(request);
  }

  /** How often a head has opened this stage, in this life of it. */
  numOpenings(): Promise<number> {
    return Promise.resolve(this.#numOpenings);
  }

  /** An object that is to be evicted is waited for until its links are closed; an opening that hangs is tried again. */
  protected override readTimings(): RingTimings {
    return { ...RING_TIMINGS, idleCloseMs: 20, openDeadlineMs: 20_000, saveDelayMs: 0 };
  }

  protected override readAssignment(): StageAssignment {
    const [replica, stageIndex, stageCount] = nameParts(this.replicaName());
    const layerBoundary = (index: number): number => Math.ceil((index * NUM_LAYERS) / stageCount);
    return {
      // All objects share this isolate; an assignment of its own gives each replica memory of its own.
      model: `tiny-${replica}-${numMemoriesLost.get(this.replicaName()) ?? 0}`,
      manifestSha256: (this.env as TestEnv).MANIFEST_SHA256,
      stageIndex,
      stageCount,
      layerStart: layerBoundary(stageIndex),
      layerEnd: layerBoundary(stageIndex + 1),
      numPages: 40,
      contextLengthMax: 512,
      numTokensMax: 32,
      numLogitRowsMax: 8,
      stepsInFlightMax: 3,
    };
  }

  protected override nextShard(): ShardStub {
    const [, stageIndex, stageCount] = nameParts(this.replicaName());
    return this.shardOfStage((stageIndex + 1) % stageCount);
  }

  protected override shardOfStage(stageIndex: number): ShardStub {
    const [replica, , stageCount] = nameParts(this.replicaName());
    return (this.env as TestEnv).SHARD.getByName(shardName(replica, stageIndex, stageCount));
  }
}

function holdableAssets(assets: Fetcher, replica: string): Fetcher {
  const fetch = (url: string): Promise<Response> => {
    const numHeld = numFilesHeld.get(replica);
    if (numHeld === undefined || url.endsWith(MANIFEST_FILE)) {
      return assets.fetch(url);
    }
    numFilesHeld.set(replica, numHeld + 1);
    return new Promise(() => {});
  };
  return { fetch } as Fetcher;
}

function nameParts(name: string): [replica: string, stageIndex: number, stageCount: number] {
  const [replica, stageIndex, stageCount] = name.split('/');
  return [replica ?? '', Number(stageIndex), Number(stageCount)];
}

export default {
  fetch(): Response {
    return new Response('not found', { status: 404 });
  },
};
