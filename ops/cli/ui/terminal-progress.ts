/**
 * Progress on a terminal: a bar while a step runs, and one line when it is over. Where standard error is not a terminal
 * only the lines are written, so that a log has one line for each step.
 */
import cliProgress, { type SingleBar } from 'cli-progress';
import { formatBytes, formatCount, formatMs } from '../../support/format.ts';
import type { Progress, Step } from '../../support/progress.ts';
import { painter } from './style.ts';

const LABEL_COLUMNS = 30;
const BAR_COLUMNS = 24;

/** Width of a terminal that does not tell its own. */
const COLUMNS_DEFAULT = 80;

/** Drawn at most this often: more is invisible, and less looks stuck. */
const REDRAWS_PER_SECOND_MAX = 10;

export interface TerminalProgress extends Progress {
  /** Removes a bar that is being drawn, so that an error message starts on a clean line. */
  clear(): void;
}

/** What is written beside a bar. */
interface Payload {
  amount: string;
  note: string;
}

/** A bar, and what it shows: enough to draw it again below a line that had to be written. */
interface DrawnStep {
  readonly bar: SingleBar;
  total: number;
  done: number;
  readonly payload: Payload;
}

function createBar(stream: NodeJS.WriteStream, label: string): SingleBar {
  return new cliProgress.SingleBar({
    stream,
    clearOnComplete: true,
    hideCursor: true,
    fps: REDRAWS_PER_SECOND_MAX,
    barsize: BAR_COLUMNS,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    // cli-progress gives the options with the defaults filled in and the state of the bar.
    format: (options, params, payload: Payload) => {
      const drawn = cliProgress.Format.BarFormat(params.progress, options);
      const text = `  ${label.padEnd(LABEL_COLUMNS)} ${drawn} ${payload.amount}  ${payload.note}`;
      return text.slice(0, Math.max(0, (stream.columns ?? COLUMNS_DEFAULT) - 1));
    },
  });
}

export function terminalProgress(stream: NodeJS.WriteStream, now: () => number): TerminalProgress {
  const paint = painter(stream);
  let active: DrawnStep | null = null;

  const clear = (): void => {
    active?.bar.stop();
    active = null;
  };

  /** Writes a line above the bar that is being drawn. */
  const writeAbove = (text: string): void => {
    const interrupted = active;
    clear();
    stream.write(`${text}\n`);
    if (interrupted !== null) {
      active = interrupted;
      interrupted.bar.start(interrupted.total, interrupted.done, interrupted.payload);
    }
  };

  const step = (label: string): Step => {
    const startedAt = now();
    let unit: 'bytes' | 'items' = 'items';
    clear();
    const drawn: DrawnStep = { bar: createBar(stream, label), total: 1, done: 0, payload: { amount: '', note: '' } };
    if (stream.isTTY) {
      active = drawn;
      drawn.bar.start(drawn.total, drawn.done, drawn.payload);
    }
    const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : formatCount(value));
    const finish = (mark: string, text: string): void => {
      clear();
      stream.write(`${mark} ${label.padEnd(LABEL_COLUMNS)} ${text} ${paint('dim', formatMs(now() - startedAt))}\n`);
    };
    return {
      total: (value, inUnit) => {
        unit = inUnit;
        // A bar of nothing would divide by it.
        drawn.total = Math.max(1, value);
        drawn.bar.setTotal(drawn.total);
      },
      update: (done) => {
        drawn.done = done;
        drawn.payload.amount = `${amount(done)} of ${amount(drawn.total)}`;
        drawn.bar.update(done, drawn.payload);
      },
      note: (text) => {
        drawn.payload.note = text;
        drawn.bar.update(drawn.payload);
      },
      done: (outcome) => finish(paint('green', '✔'), outcome),
      failed: () => finish(paint('red', '✘'), 'failed'),
    };
  };

  return {
    clear,
    step,
    info: (text) => writeAbove(`  ${text}`),
    warn: (text) => writeAbove(`${paint('yellow', '!')} ${text}`),
  };
}
