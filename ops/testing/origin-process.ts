/** A GPU origin's stand-in as an operator starts it: `lamina origin up` in a child process. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { PROJECT_ROOT } from '../support/home.ts';

/** Longest wait for the ready line; the first start installs llama.cpp. */
const READY_MS_MAX = 300_000;
const LOG_CHARS_MAX = 20_000;

const READY_LINE = /^Origin is ready at (http:\/\/127\.0\.0\.1:\d+) with (\S+)$/m;

export interface OriginProcess {
  /** Without a path: the OpenAI API is under `/v1`. */
  readonly url: string;
  /** What the engine calls its model. */
  readonly model: string;
  readonly child: ChildProcess;
  /** Sends the signal and waits for the end; resolves to the exit code, null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/**
 * Starts an origin on a free port and waits until it serves. `modelFile` is a GGUF file, the default model without it.
 * @throws Error with what the command said when it ends before it is ready.
 */
export async function startOriginProcess(
  options: { readonly modelFile?: string; readonly args?: readonly string[] } = {},
): Promise<OriginProcess> {
  const launcher = path.join(PROJECT_ROOT, 'ops', 'cli', 'lamina.mjs');
  const modelFile = options.modelFile === undefined ? {} : { LAMINA_MODEL_FILE: options.modelFile };
  const child = spawn(process.execPath, [launcher, 'origin', 'up', '--port', '0', ...(options.args ?? [])], {
    cwd: PROJECT_ROOT,
    env: { ...process.env, ...modelFile },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-LOG_CHARS_MAX);
  });
  const ready = await new Promise<{ url: string; model: string }>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`The origin was not ready in ${READY_MS_MAX} ms.\n${stderr}`));
    }, READY_MS_MAX);
    void ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`The origin ended with ${String(code)} before it was ready.\n${stderr}`));
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-LOG_CHARS_MAX);
      const match = READY_LINE.exec(stdout);
      if (match?.[1] !== undefined && match[2] !== undefined) {
        clearTimeout(timer);
        resolve({ url: match[1], model: match[2] });
      }
    });
  });
  return {
    ...ready,
    child,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
}
