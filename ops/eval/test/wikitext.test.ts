/**
 * The full acceptance on WikiText-2 (raw, test part), whose licence does not let it lie here: runs when
 * `LAMINA_WIKITEXT_FILE` names a copy. It needs Python and, once, the network for `oracle/requirements.txt`.
 */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { silentProgress } from '../../support/progress.ts';
import { loadWholeModel } from '../engine-logits.ts';
import { readGolden } from '../golden.ts';
import { readTextModel } from '../prepare.ts';
import { measureQuality } from '../quality.ts';
import { startReference } from '../reference.ts';
import { ensureVenv } from '../venv.ts';
import { cutWindows } from '../windows.ts';
import { prepareDefaultModel, TEST_OPTIONS } from './default-model.ts';

const FILE = process.env['LAMINA_WIKITEXT_FILE'];
const WINDOW_TOKENS = 512;
const NUM_WINDOWS = 12;
/** Of the dequantised file in float32, measured once with another implementation. */
const REFERENCE_PERPLEXITY = 34.02;
/** A minute on one idle core for both models; several times that when the machine is shared. */
const TEST_MS_MAX = 600_000;

describe.runIf(FILE !== undefined)('WikiText-2', () => {
  it(
    'is predicted as well as the quality bounds ask',
    async () => {
      const { modelSha256 } = await readGolden('text-reference.json');
      const model = await prepareDefaultModel(modelSha256);
      const { tokenizer } = await readTextModel(model.convertedFolder);
      const windows = cutWindows(tokenizer.encode(await readFile(FILE ?? '', 'utf8')), WINDOW_TOKENS, NUM_WINDOWS);
      const runtime = await loadWholeModel(model.convertedFolder, model.kernels, WINDOW_TOKENS);
      const reference = await startReference(await ensureVenv(TEST_OPTIONS), model.file.path);
      try {
        const quality = await measureQuality(runtime, reference, windows, silentProgress.step(''));
        expect(quality.numPredictions).toBe(NUM_WINDOWS * (WINDOW_TOKENS - 1));
        expect(quality.referencePerplexity).toBeCloseTo(REFERENCE_PERPLEXITY, 2);
        expect(quality.perplexity).toBeLessThanOrEqual(REFERENCE_PERPLEXITY * 1.01);
        expect(quality.klDivergence).toBeLessThanOrEqual(0.006);
        expect(quality.top1Agreement).toBeGreaterThanOrEqual(0.95);
      } finally {
        await reference.close();
      }
    },
    TEST_MS_MAX,
  );
});
