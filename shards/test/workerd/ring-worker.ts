/**
 * A whole ring in one script, for tests: an object's name says which stage of how many it is. When deployed each stage
 * is a script of its own.
 */
import { RING_TIMINGS, type RingTimings } from '../../link/ring-protocol.ts';
import type { StageAssignment } from '../../model/assignment.ts';
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

export class TestShard extends StageShard {
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

  /** An object that is to be evicted is waited for until its links are closed. */
  protected override readTimings(): RingTimings {
    return { ...RING_TIMINGS, idleCloseMs: 20 };
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

function nameParts(name: string): [replica: string, stageIndex: number, stageCount: number] {
  const [replica, stageIndex, stageCount] = name.split('/');
  return [replica ?? '', Number(stageIndex), Number(stageCount)];
}

export default {
  fetch(): Response {
    return new Response('not found', { status: 404 });
  },
};
