/** The model that features come from: the first of the catalog that runs in the platform. */
import type { FeatureHead } from '../../shards/features/feature-protocol.ts';
import type { Clock } from '../../shards/platform/clock.ts';
import { isRingEntry, type Catalog, type RingEntry } from '../routing/catalog.ts';
import type { TextModel } from '../tokenizer/text-model.ts';
import type { FeatureSource } from './text-features.ts';

export interface FeatureSourceDeps {
  /** Head shards of the model's replicas. */
  readonly featureHeads: (entry: RingEntry) => readonly FeatureHead[];
  readonly textModel: (assetsPath: string) => Promise<TextModel>;
  readonly clock: Clock;
  readonly randomId: () => string;
}

/** Replicas take turns, beginning anywhere: features need no state of theirs. */
export function createFeatureSource(catalog: Catalog, deps: FeatureSourceDeps): FeatureSource {
  const entry = catalog.entries.find(isRingEntry);
  const found = (): RingEntry => {
    if (entry === undefined) {
      throw new Error('the catalog has no model that runs in the platform, which features could come from');
    }
    return entry;
  };
  let numCalls = 0;
  return {
    model: entry?.backend.model ?? 'none',
    heads: () => rotated(deps.featureHeads(found()), numCalls++),
    textModel: () => deps.textModel(found().backend.assetsPath),
    clock: deps.clock,
    randomId: deps.randomId,
  };
}

function rotated(heads: readonly FeatureHead[], by: number): readonly [FeatureHead, ...FeatureHead[]] {
  const start = by % Math.max(1, heads.length);
  const [first, ...others] = [...heads.slice(start), ...heads.slice(0, start)];
  if (first === undefined) {
    throw new Error('the model has no replica');
  }
  return [first, ...others];
}
