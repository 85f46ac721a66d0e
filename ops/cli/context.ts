/** What every command gets: where state lies, how to talk to the operator, and the process's own surroundings. */
import { homeLayout, type HomeLayout, resolveHome } from '../support/home.ts';
import { OperatorError } from '../support/operator-error.ts';
import type { FetchOptions } from '../models/fetch.ts';
import { type Paint, painter } from './ui/style.ts';
import { terminalProgress, type TerminalProgress } from './ui/terminal-progress.ts';

export interface CommandContext extends FetchOptions {
  readonly home: HomeLayout;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: TerminalProgress;
  /** Colours for standard output. */
  readonly paint: Paint;
  /** Writes a line of the command's result. Progress and remarks go to standard error instead. */
  readonly print: (line?: string) => void;
}

export function commandContext(options: { readonly home?: string }): CommandContext {
  return {
    home: homeLayout(resolveHome(options.home, process.env)),
    env: process.env,
    progress: terminalProgress(process.stderr, () => performance.now()),
    paint: painter(process.stdout),
    print: (line = '') => process.stdout.write(`${line}\n`),
  };
}

/** Where `lamina dev` listens and `lamina chat` looks when nothing is said. */
export const DEFAULT_PORT = 8787;

const PORT_MAX = 65_535;

/** `--port`, else `PORT`, else 8787. 0 lets the system choose a free port. */
export function resolvePort(flag: string | undefined, env: NodeJS.ProcessEnv): number {
  const text = flag ?? env['PORT'] ?? '';
  if (text === '') {
    return DEFAULT_PORT;
  }
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > PORT_MAX) {
    throw new OperatorError(
      'usage',
      `"${text}" is not a port.`,
      `Use a number from 0 to ${PORT_MAX} in --port or PORT.`,
    );
  }
  return port;
}

/** A positive whole number given on the command line. */
export function parseCount(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < 1) {
    throw new OperatorError('usage', `${flag} needs a positive whole number, not "${text}".`);
  }
  return value;
}
