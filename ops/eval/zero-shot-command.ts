/** `lamina eval zero-shot`: see `zero-shot.ts`. */
import { commandContext, parseCount, resolvePort } from '../cli/context.ts';
import { readExamples } from '../classify/read-examples.ts';
import { formatTable } from '../support/format.ts';
import { OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { chatAccuracy, evaluateLabels, sampleOf } from './zero-shot.ts';

export interface ZeroShotFlags {
  readonly texts: string;
  readonly examples?: string;
  readonly shots: string;
  readonly count: string;
  readonly textColumn: string;
  readonly labelColumn: string;
  readonly model: string;
  readonly url?: string;
  readonly key: string;
}

/** A category and a little more; a model that goes on talks of something else. */
const CHAT_TOKENS_MAX = 16;

const percent = (value: number | null): string => (value === null ? '-' : `${(100 * value).toFixed(1)} %`);

export async function zeroShotCommand(flags: ZeroShotFlags): Promise<void> {
  const { print, progress } = commandContext({});
  const server = { url: flags.url ?? `http://127.0.0.1:${resolvePort(undefined, process.env)}`, key: flags.key };
  const columns = { text: flags.textColumn, label: flags.labelColumn };
  const texts = sampleOf(await readExamples(flags.texts, columns), parseCount('--count', flags.count) ?? 1);
  const training = flags.examples === undefined ? [] : await readExamples(flags.examples, columns);
  const rows: string[][] = [];
  for (const shots of parseShots(flags.shots)) {
    const label = shots === 0 ? 'labels alone' : `${shots} a label`;
    const { accuracy, macroF1, ece } = await runStep(progress, label, async (step) => {
      const value = await evaluateLabels(server, texts, training, shots, step);
      return { value, outcome: percent(value.accuracy) };
    });
    rows.push([label, percent(accuracy), percent(macroF1), percent(ece)]);
  }
  const settings = { model: flags.model, temperature: 0, max_tokens: CHAT_TOKENS_MAX };
  const asked = await runStep(progress, 'asked in a chat', async (step) => {
    const value = await chatAccuracy(server, settings, texts, step);
    return { value, outcome: percent(value) };
  });
  rows.push(['asked in a chat', percent(asked), '-', '-']);
  const titles = ['', 'accuracy', 'macro-F1', 'ECE'];
  const table = titles.map((title, index) => ({ title, align: index === 0 ? ('left' as const) : ('right' as const) }));
  formatTable(table, rows).forEach((line) => print(line));
}

function parseShots(text: string): number[] {
  return text.split(',').map((part) => {
    if (!/^\d+$/.test(part.trim())) {
      throw new OperatorError('usage', `--shots needs counts separated by commas, not "${text}".`);
    }
    return Number(part);
  });
}
