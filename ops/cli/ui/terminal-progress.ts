/**
 * Progress on a terminal: a bar while a step runs, and one line when it is over. Where standard error is not a terminal
 * only the lines are written, so that a log has one line for each step.
 */
import cliProgress, { type SingleBar } from 'cli-progress';
import { formatBytes, formatCount, formatMs } from '../../support/format.ts';
import type { Progress, Step } from '../../support/progress.ts';
import { painter } from './style.ts';

const LABEL_COLUMNS = 30;

/** Drawn at most this often: more is invisible, and less looks stuck. */
const REDRAWS_PER_SECOND_MAX = 10;

export interface TerminalProgress extends Progress {
  /** Removes a bar that is being drawn, so that an error message starts on a clean line. */
  clear(): void;
}

export function terminalProgress(stream: NodeJS.WriteStream, now: () => number): TerminalProgress {
  const paint = painter(stream);
  let activeBar: SingleBar | null = null;

  const clear = (): void => {
    activeBar?.stop();
    activeBar = null;
  };
  const line = (text: string): void => {
    clear();
    stream.write(`${text}\n`);
  };

  const startBar = (label: string): SingleBar => {
    const bar = new cliProgress.SingleBar({
      stream,
      clearOnComplete: true,
      hideCursor: true,
      fps: REDRAWS_PER_SECOND_MAX,
      barsize: 24,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      // cli-progress gives the options with the defaults filled in and the state of the bar.
      format: (options, params, payload: { amount: string; note: string }) => {
        const bar_ = cliProgress.Format.BarFormat(params.progress, options);
        const text = `  ${label.padEnd(LABEL_COLUMNS)} ${bar_} ${payload.amount}  ${payload.note}`;
        return text.slice(0, Math.max(0, (stream.columns ?? 80) - 1));
      },
    });
    bar.start(1, 0, { amount: '', note: '' });
    return bar;
  };

  const step = (label: string): Step => {
    const startedAt = now();
    let unit: 'bytes' | 'items' = 'items';
    let totalAmount = 0;
    clear();
    const bar = stream.isTTY ? startBar(label) : null;
    activeBar = bar;
    const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : formatCount(value));
    const finish = (mark: string, text: string): void => {
      line(`${mark} ${label.padEnd(LABEL_COLUMNS)} ${text} ${paint('dim', formatMs(now() - startedAt))}`);
    };
    return {
      total: (value, inUnit) => {
        totalAmount = value;
        unit = inUnit;
        bar?.setTotal(Math.max(1, value));
      },
      update: (done) => bar?.update(done, { amount: `${amount(done)} of ${amount(totalAmount)}` }),
      note: (text) => bar?.update({ note: text }),
      done: (outcome) => finish(paint('green', '✔'), outcome),
      failed: () => finish(paint('red', '✘'), 'failed'),
    };
  };

  return {
    clear,
    step,
    info: (text) => line(`  ${text}`),
    warn: (text) => line(`${paint('yellow', '!')} ${text}`),
  };
}
