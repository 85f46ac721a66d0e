/**
 * A whole ring in one script, for tests: an object's name says which stage of how many it is. When deployed each stage
 * is a script of its own.
 */
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

export class TestShard extends StageShard {
  protected override readAssignment(): StageAssignment {
    const [replica, stageIndex, stageCount] = nameParts(this.replicaName());
    const layerBoundary = (index: number): number => Math.ceil((index * NUM_LAYERS) / stageCount);
    return {
      // All objects share this isolate; an assignment of its own gives each replica memory of its own.
      model: `tiny-${replica}`,
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
