/** The committed quality gate: a text of many styles against the float32 reference. */
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { compareWithGolden } from '../compare-golden.ts';
import { unpackDistributions } from '../compact.ts';
import { loadWholeModel } from '../engine-logits.ts';
import { type GoldenText, readGolden, readGoldenText } from '../golden.ts';
import { QualityTally } from '../metrics.ts';
import { type MeasuredModel, readTextModel } from '../prepare.ts';
import { prepareDefaultModel } from './default-model.ts';

/**
 * The bound over the whole vocabulary is 0.006 nats; the stored tokens and the rest hold 63 % of the divergence (see
 * REFERENCE_TOP_K in oracle/make_golden_text.py).
 */
const KL_OF_TOP_MAX = 0.006 * 0.63;
const PERPLEXITY_RATIO_MAX = 1.01;
const TOP1_AGREEMENT_MIN = 0.95;

let golden: GoldenText;
let model: MeasuredModel;

/** Seconds on an idle core; many times that when other work shares it. */
vi.setConfig({ testTimeout: 300_000 });

beforeAll(async () => {
  golden = await readGolden('text-reference.json');
  model = await prepareDefaultModel(golden.modelSha256);
});

describe('golden text', () => {
  it('is tokenised in one go as llama.cpp does', async () => {
    const { tokenizer } = await readTextModel(model.convertedFolder);
    expect(tokenizer.encode(await readGoldenText())).toEqual(golden.windows.flatMap(({ tokens }) => tokens));
  });

  it('is predicted as well as the quality bounds ask', async () => {
    const runtime = await loadWholeModel(model.convertedFolder, model.kernels, golden.windowTokens);
    const tally = new QualityTally();
    for (const window of golden.windows) {
      compareWithGolden(runtime, window.tokens, 1, unpackDistributions(window, golden.topK), tally);
    }
    const quality = tally.quality();
    expect(quality.numPredictions).toBeGreaterThan(1500);
    expect(quality.perplexity).toBeLessThanOrEqual(quality.referencePerplexity * PERPLEXITY_RATIO_MAX);
    expect(quality.klDivergence).toBeLessThanOrEqual(KL_OF_TOP_MAX);
    expect(quality.top1Agreement).toBeGreaterThanOrEqual(TOP1_AGREEMENT_MIN);
  });
});
