/** `lamina eval features`: features of many texts through the code and the kernels that serve them, for other programs. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { POOLINGS, type FeaturePart } from '../../shards/features/feature-protocol.ts';
import { FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import { commandContext } from '../cli/context.ts';
import { OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { prepareMeasuredModel, readTextModel } from './prepare.ts';
import { featuresOfTexts } from './text-features.ts';

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
  const model = await prepareMeasuredModel(flags.model, context);
  const { config } = await readTextModel(model.convertedFolder);
  await mkdir(flags.out, { recursive: true });
  const values = await runStep(context.progress, 'Features', async (step) => {
    const texts = rows.map(({ text }) => text);
    const pieces = await featuresOfTexts(model, texts, parts, (numDone) => {
      step.note(`${numDone} of ${rows.length} texts`);
    });
    return { value: pieces, outcome: `${rows.length} texts` };
  });
  await writeFile(path.join(flags.out, 'features.f32'), new Uint8Array(await new Blob(values).bytes()));
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
