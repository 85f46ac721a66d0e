/** `lamina eval quality`. */
import { readFile } from 'node:fs/promises';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { type CommandContext, commandContext, parseCount } from '../cli/context.ts';
import { formatCount, formatTable } from '../support/format.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { loadWholeModel } from './engine-logits.ts';
import type { Quality } from './metrics.ts';
import { type MeasuredModel, prepareMeasuredModel, readTextModel } from './prepare.ts';
import { measurePerplexity, measureQuality } from './quality.ts';
import { type Reference, startReference } from './reference.ts';
import { firstServedModel, type ServedModel } from './served.ts';
import { ensureVenv } from './venv.ts';
import { cutWindows } from './windows.ts';

export interface QualityFlags {
  readonly text: string;
  readonly windows: string;
  readonly windowTokens: string;
  readonly model?: string;
  readonly url?: string;
  readonly key: string;
  readonly json?: boolean;
  readonly home?: string;
}

/** What was measured; divergence and agreement need whole distributions, which no server gives. */
type Measured = Pick<Quality, 'numPredictions' | 'perplexity' | 'referencePerplexity'> &
  Partial<Pick<Quality, 'klDivergence' | 'top1Agreement'>>;

export async function qualityCommand(flags: QualityFlags): Promise<void> {
  const context = commandContext(flags);
  const text = await readText(flags.text);
  const windowTokens = parseCount('--window-tokens', flags.windowTokens) ?? 0;
  const numWindows = parseCount('--windows', flags.windows) ?? 0;
  const model = await prepareMeasuredModel(flags.model, context);
  const { tokenizer, config } = await readTextModel(model.convertedFolder);
  if (windowTokens < 2 || windowTokens > config.contextLengthMax) {
    throw new OperatorError(
      'usage',
      `--window-tokens must be from 2 to ${config.contextLengthMax}, the model's context.`,
    );
  }
  const windows = cutWindows(tokenizer.encode(text), windowTokens, numWindows);
  if (windows.length === 0) {
    throw new OperatorError('usage', `${flags.text} has fewer than two tokens.`, 'Give a longer text.');
  }
  const server = flags.url === undefined ? null : await firstServedModel(flags.url, flags.key);
  const measured = await measure(model, windows, server, context);
  print(context, flags, model, windows, measured);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new OperatorError('usage', `The text cannot be read: ${messageOf(error)}.`, null, { cause: error });
  }
}

async function measure(
  model: MeasuredModel,
  windows: readonly (readonly number[])[],
  server: ServedModel | null,
  context: CommandContext,
): Promise<Measured> {
  const python = await ensureVenv(context);
  return withReference(python, model.file.path, async (reference) => {
    if (server !== null) {
      return runStep(context.progress, `Windows at ${server.url}`, async (step) => ({
        value: await measurePerplexity(server, reference, windows, step),
        outcome: `${windows.length} windows`,
      }));
    }
    const longest = Math.max(...windows.map((window) => window.length));
    const runtime = await loadWholeModel(model.convertedFolder, model.kernels, longest);
    assertSameVocabulary(reference, runtime.options.config);
    return runStep(context.progress, 'Windows', async (step) => ({
      value: await measureQuality(runtime, reference, windows, step),
      outcome: `${windows.length} windows`,
    }));
  });
}

/** Starts the reference for the time of `work`. */
async function withReference<T>(
  python: string,
  modelFile: string,
  work: (reference: Reference) => Promise<T>,
): Promise<T> {
  const reference = await startReference(python, modelFile);
  try {
    return await work(reference);
  } finally {
    await reference.close();
  }
}

function assertSameVocabulary(reference: Reference, config: ModelConfig): void {
  if (reference.vocabSize !== config.vocabSize) {
    throw new OperatorError(
      'model_file_invalid',
      `The reference reads ${reference.vocabSize} tokens, the converted model has ${config.vocabSize}.`,
    );
  }
}

function print(
  { print: printLine, paint }: CommandContext,
  flags: QualityFlags,
  model: MeasuredModel,
  windows: readonly (readonly number[])[],
  measured: Measured,
): void {
  const perplexityRatio = measured.perplexity / measured.referencePerplexity;
  if (flags.json === true) {
    const { name, sha256 } = model.file;
    printLine(JSON.stringify({ model: name, sha256, numWindows: windows.length, ...measured, perplexityRatio }));
    return;
  }
  const { klDivergence, top1Agreement } = measured;
  const rows = [
    ['perplexity', measured.perplexity.toFixed(3)],
    ['  of the float32 reference', measured.referencePerplexity.toFixed(3)],
    ['  ratio', perplexityRatio.toFixed(4)],
    ...(klDivergence === undefined ? [] : [['KL divergence, nats per token', klDivergence.toFixed(5)]]),
    ...(top1Agreement === undefined ? [] : [['top-1 agreement', top1Agreement.toFixed(4)]]),
    ['predicted tokens', formatCount(measured.numPredictions)],
  ];
  const [header = '', ...lines] = formatTable(
    [
      { title: `${model.file.name}${flags.url === undefined ? '' : ` at ${flags.url}`}`, align: 'left' },
      { title: '', align: 'right' },
    ],
    rows,
  );
  printLine(paint('bold', header));
  lines.forEach((line) => printLine(line));
}
