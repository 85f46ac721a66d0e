/** Judges texts by a trained classifier or by labels of the request, whichever is asked: one form of answer for both. */
import { err, ok, type Result } from '../../shards/result.ts';
import { FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import { classifyTexts, type ClassifyDeps, type ClassifyFailure } from './classify-texts.ts';
import { judgeByLabels, type LabelJudgeDeps } from './judge-by-labels.ts';
import type { Scored } from './judgement.ts';
import type { LabelSource, LabelSpec } from './label-set.ts';

export interface JudgeDeps {
  readonly classify: ClassifyDeps;
  readonly byLabels: () => Promise<LabelJudgeDeps>;
}

/** By what a text was judged. */
export type Method = 'classifier' | 'zero_shot' | 'few_shot';

export interface Judged {
  readonly method: Method;
  /** Of the classifier; null for labels that came with the request. */
  readonly version: number | null;
  readonly labels: readonly LabelSpec[];
  readonly isMultiLabel: boolean;
  /** That the training found; 1, beyond which nothing is, without one. */
  readonly outOfScopeThreshold: number;
  /** Layers of the model that were read; null for all of them. */
  readonly layers: readonly number[] | null;
  /** In the order of the texts. */
  readonly scored: readonly Scored[];
  readonly numTokens: number;
  readonly cachedTokens: number;
}

/** @throws FeatureError, GenerationError when the ring refuses or keeps failing; AbortedError when `signal` was aborted. */
export async function judgeTexts(
  deps: JudgeDeps,
  tenant: string,
  source: LabelSource,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Result<Judged, ClassifyFailure>> {
  if (source.type === 'labels') {
    const { labels } = source;
    const judged = await judgeByLabels(await deps.byLabels(), { tenant, texts, labels }, signal);
    const { method, scored, numTokens, cachedTokens } = judged;
    const unknown = { version: null, isMultiLabel: false, outOfScopeThreshold: 1, layers: null };
    return ok({ ...unknown, method, labels, scored, numTokens, cachedTokens });
  }
  const { id, version } = source;
  const classified = await classifyTexts(deps.classify, { tenant, id, version }, texts, signal);
  if (!classified.ok) {
    return err(classified.error);
  }
  const { labels, kind, predictions, ...rest } = classified.value;
  return ok({
    method: 'classifier',
    version: rest.version,
    labels: labels.map((name) => ({ name, description: null, examples: [] })),
    isMultiLabel: kind === 'multi',
    outOfScopeThreshold: rest.outOfScopeThreshold,
    layers: LAYERS_READ,
    scored: predictions,
    numTokens: rest.numTokens,
    cachedTokens: 0,
  });
}

const LAYERS_READ = [...new Set(FEATURE_RECIPE.parts.map(({ numLayers }) => numLayers))].sort((a, b) => a - b);
