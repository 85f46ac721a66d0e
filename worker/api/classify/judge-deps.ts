import { createEngineClient } from '../../../shards/client/engine-client.ts';
import type { JudgeDeps } from '../../classify/judge-texts.ts';
import { featuresOf, tokensOf } from '../../classify/text-features.ts';
import type { RouteDeps } from '../../gateway.ts';
import type { RingEntry } from '../../routing/catalog.ts';

/** What judging takes, with the model that was asked for. */
export function judgeDepsOf(entry: RingEntry, deps: RouteDeps): JudgeDeps {
  const { classify, labelPriors, limits } = deps;
  return {
    classify,
    byLabels: async () => {
      const { tokenizer } = await deps.textModel(entry.backend.assetsPath);
      return {
        engine: createEngineClient(deps.replicas(entry), deps.clock, deps.resumeLimits),
        tokenizer,
        randomId: deps.randomId,
        concurrentSequencesMax: limits.concurrentSequencesMax,
        priors: labelPriors,
        features: async (texts, signal) => {
          const textModel = await classify.features.textModel();
          return featuresOf(
            classify.features,
            texts.map((text) => tokensOf(textModel, text)),
            signal,
          );
        },
      };
    },
  };
}
