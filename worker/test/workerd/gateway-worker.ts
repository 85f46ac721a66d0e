/**
 * The gateway's script with everything in it that it is bound to, for tests: the classifiers' objects, and a ring of one
 * stage that has all layers of the tiny model.
 */
import { FEATURE_NUM_LAYERS, FEATURE_RECIPE } from '../../../shards/features/recipe.ts';
import type { StageAssignment } from '../../../shards/model/assignment.ts';
import { StageShard } from '../../../shards/stage-shard.ts';

export class HeadShard extends StageShard {
  protected override readAssignment(): StageAssignment {
    return {
      model: 'tiny',
      manifestSha256: (this.env as unknown as { readonly MANIFEST_SHA256: string }).MANIFEST_SHA256,
      stageIndex: 0,
      stageCount: 1,
      layerStart: 0,
      layerEnd: FEATURE_NUM_LAYERS,
      numPages: 80,
      contextLengthMax: 512,
      numTokensMax: FEATURE_RECIPE.windowTokens,
      numLogitRowsMax: 8,
      stepsInFlightMax: 1,
    };
  }
}

export { default, PrefixShard, RunShard } from '../../index.ts';
export { ClassifierIndex, ClassifierShard } from '../../platform/classifier-shard.ts';
