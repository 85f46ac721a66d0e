/** Features of many texts through the code and the kernels that serve them, without a platform. */
import { extractFeatures } from '../../shards/client/feature-client.ts';
import type { FeaturePart } from '../../shards/features/feature-protocol.ts';
import { FEATURE_LIMITS } from '../../shards/features/limits.ts';
import { FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import { createLocalEngine } from '../../shards/platform/local/local-engine.ts';
import { systemClock } from '../../shards/platform/system.ts';
import { fileAssets } from '../testing/file-assets.ts';
import { type MeasuredModel, readTextModel } from './prepare.ts';

/** @returns for each piece of `texts`, one after the other, its features `[texts of the piece, featureSize]` */
export async function featuresOfTexts(
  { convertedFolder, kernels }: MeasuredModel,
  texts: readonly string[],
  parts: readonly FeaturePart[],
  onProgress: (numDone: number) => void = () => {},
): Promise<Float32Array<ArrayBuffer>[]> {
  const { tokenizer } = await readTextModel(convertedFolder);
  const { features, ring } = await createLocalEngine({ assets: fileAssets(convertedFolder), kernels });
  const pieces: Float32Array<ArrayBuffer>[] = [];
  const { windowTokens } = FEATURE_RECIPE;
  const { signal } = new AbortController();
  for (let start = 0; start < texts.length; start += FEATURE_LIMITS.textsMax) {
    const piece = texts.slice(start, start + FEATURE_LIMITS.textsMax).map((text) => tokenizer.encode(text));
    const request = { requestId: `texts-${start}`, texts: piece, parts, windowTokens };
    const matrix = await extractFeatures(request, { heads: [features], clock: systemClock, signal });
    pieces.push(matrix.features);
    onProgress(start + piece.length);
  }
  ring.close('all texts are done');
  return pieces;
}
