/** `lamina eval features`: features of many texts through the code and the kernels that serve them, for other programs. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { extractFeatures } from '../../shards/client/feature-client.ts';
import { POOLINGS, type FeaturePart } from '../../shards/features/feature-protocol.ts';
import { FEATURE_LIMITS } from '../../shards/features/limits.ts';
import { FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import { createLocalEngine } from '../../shards/platform/local/local-engine.ts';
import { systemClock } from '../../shards/platform/system.ts';
import { commandContext } from '../cli/context.ts';
import { OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { fileAssets } from '../testing/file-assets.ts';
import { prepareMeasuredModel, readTextModel } from './prepare.ts';

export interface FeaturesFlags {
  readonly texts: string;
  readonly out: string;
  readonly parts?: string;
  readonly model?: string;
  readonly home?: string;
}

/** Writes `features.f32`, little-endian `[numTexts, featureSize]`, and `features.json` with its shape and its texts' labels. */
export async function featuresCommand(flags: FeaturesFlags): Promise<void> {
  const context = commandContext(flags);
  const parts = flags.parts === undefined ? FEATURE_RECIPE.parts : parseParts(flags.parts);
  const rows = parseRows(await readTexts(flags.texts));
  const { convertedFolder, kernels } = await prepareMeasuredModel(flags.model, context);
  const { tokenizer, config } = await readTextModel(convertedFolder);
  const { features, ring } = await createLocalEngine({ assets: fileAssets(convertedFolder), kernels });
  await mkdir(flags.out, { recursive: true });
  const values = await runStep(context.progress, 'Features', async (step) => {
    const pieces: Float32Array[] = [];
    for (let start = 0; start < rows.length; start += FEATURE_LIMITS.textsMax) {
      const texts = rows.slice(start, start + FEATURE_LIMITS.textsMax).map(({ text }) => tokenizer.encode(text));
      const request = { requestId: `texts-${start}`, texts, parts, windowTokens: FEATURE_RECIPE.windowTokens };
      const signal = new AbortController().signal;
      pieces.push((await extractFeatures(request, { heads: [features], clock: systemClock, signal })).features);
      step.note(`${Math.min(start + FEATURE_LIMITS.textsMax, rows.length)} of ${rows.length} texts`);
    }
    return { value: pieces, outcome: `${rows.length} texts` };
  });
  ring.close('all texts are done');
  await writeFile(path.join(flags.out, 'features.f32'), new Uint8Array(await new Blob(values as BlobPart[]).bytes()));
  const description = { model: config.model, parts, windowTokens: FEATURE_RECIPE.windowTokens, numTexts: rows.length };
  await writeFile(path.join(flags.out, 'features.json'), JSON.stringify(description));
  await writeFile(path.join(flags.out, 'labels.json'), JSON.stringify(rows.map(({ label }) => label ?? null)));
}

async function readTexts(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    throw new OperatorError('usage', `${file} cannot be read.`, 'Give a file of JSON lines.');
  }
}

interface TextRow {
  readonly text: string;
  readonly label?: string;
}

function parseRows(lines: string): TextRow[] {
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line, index) => {
      try {
        const row = JSON.parse(line) as TextRow;
        if (typeof row.text === 'string' && row.text !== '') {
          return row;
        }
      } catch {
        // Told below, with the line.
      }
      throw new OperatorError(
        'usage',
        `Line ${index + 1} is not {"text": "…"} in JSON, with a text that is not empty.`,
      );
    });
}

/** `1:mean,6:max` */
function parseParts(text: string): FeaturePart[] {
  return text.split(',').map((part) => {
    const [numLayers, pooling] = part.split(':');
    const known = POOLINGS.find((name) => name === pooling);
    if (known === undefined || !/^\d+$/.test(numLayers ?? '')) {
      throw new OperatorError('usage', `'${part}' is not a part: write layers and pooling, such as 1:mean or 6:max.`);
    }
    return { numLayers: Number(numLayers), pooling: known };
  });
}
