/**
 * The platform as its users start it: the `dev` command in a child process. Used by end-to-end tests and by the bench,
 * which both must see what a user sees.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { PROJECT_ROOT } from '../support/home.ts';

/** Longest wait for the ready line. A first start converts a model; a second one takes seconds. */
const READY_MS_MAX = 180_000;
/** Longest wait for a clean end after SIGTERM. */
const STOP_MS_MAX = 20_000;
/** Characters of standard error that are kept for a failure's message. */
const LOG_CHARS_MAX = 20_000;

const READY_LINE = /^Lamina is ready at (http:\/\/127\.0\.0\.1:\d+)$/m;

export interface PlatformProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** From spawning to the ready line. */
  readonly startMs: number;
  /** Standard output so far. */
  stdout(): string;
  stderr(): string;
  /** Sends the signal and waits for the end; resolves to the exit code, null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface PlatformProcessOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Another tree's `ops/cli/lamina.mjs`. */
  readonly launcher?: string;
}

/**
 * Starts `lamina dev` on a free port and waits until it says that it can answer.
 * @throws Error with the end of standard error when it ends or does not get ready in time.
 */
export async function startPlatformProcess(options: PlatformProcessOptions = {}): Promise<PlatformProcess> {
  const startedMs = performance.now();
  const launcher = options.launcher ?? path.join(PROJECT_ROOT, 'ops', 'cli', 'lamina.mjs');
  const child = spawn(process.execPath, [launcher, 'dev', '--port', '0', ...(options.args ?? [])], {
    cwd: path.resolve(path.dirname(launcher), '..', '..'),
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  let stdout = '';
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-LOG_CHARS_MAX);
  });
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`The platform was not ready in ${READY_MS_MAX} ms.\n${stderr}`));
    }, READY_MS_MAX);
    void ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`The platform ended with ${String(code)} before it was ready.\n${stderr}`));
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      const match = READY_LINE.exec(stdout);
      if (match?.[1] !== undefined) {
        clearTimeout(timer);
        resolve(match[1]);
      }
    });
  });
  return {
    url,
    child,
    startMs: performance.now() - startedMs,
    stdout: () => stdout,
    stderr: () => stderr,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      const code = await ended;
      clearTimeout(timer);
      return code;
    },
  };
}
