/** The gateway's script with the ring in it, for tests: one stage that has all layers of the tiny model. */
import type { StageAssignment } from '../../../shards/model/assignment.ts';
import { StageShard } from '../../../shards/stage-shard.ts';

/** Layers of the tiny model that the tests convert. */
const NUM_LAYERS = 5;

export class HeadShard extends StageShard {
  protected override readAssignment(): StageAssignment {
    return {
      model: 'tiny',
      manifestSha256: (this.env as unknown as { readonly MANIFEST_SHA256: string }).MANIFEST_SHA256,
      stageIndex: 0,
      stageCount: 1,
      layerStart: 0,
      layerEnd: NUM_LAYERS,
      numPages: 80,
      contextLengthMax: 512,
      numTokensMax: 32,
      numLogitRowsMax: 8,
      stepsInFlightMax: 1,
    };
  }
}

export { default, PrefixShard, RunShard } from '../../index.ts';
