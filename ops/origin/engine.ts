/** A real engine on this machine that stands in for a GPU origin: llama.cpp's own OpenAI server in a child process. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { ensureVenv } from '../eval/venv.ts';
import { type HomeLayout, PROJECT_ROOT } from '../support/home.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import type { Progress } from '../support/progress.ts';

/** The bench's peer runs the same server from the same environment. */
const REQUIREMENTS = path.join(PROJECT_ROOT, 'ops', 'bench', 'requirements.txt');
const VENV_NAME = 'venv-llama-cpp';
const SCRIPT = path.join(import.meta.dirname, 'llama_cpp_origin.py');

/** Loading a small model takes a second or two; a large one from a cold disk takes longer. */
const SERVING_MS_MAX = 120_000;
/** The server ends a moment after its standard input; one that is stuck in a long step is not waited for. */
const STOP_MS_MAX = 5_000;
/** Characters of the engine's log that are kept for a failure's message. */
const LOG_CHARS_MAX = 2_000;

export interface EngineOptions {
  readonly home: HomeLayout;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** GGUF file. */
  readonly modelFile: string;
  /** What the engine calls the model. */
  readonly modelName: string;
  /** 0 for a free one. */
  readonly port: number;
  /** Sequences that are generated at the same time; further requests wait in the engine. */
  readonly slots: number;
  /** Tokens that one sequence may have. */
  readonly context: number;
  readonly threads: number;
  /** Accepted API key; null accepts every request. */
  readonly key: string | null;
}

export interface Engine {
  /** `http://127.0.0.1:<port>` without a path; the OpenAI API is under `/v1`. */
  readonly url: string;
  readonly pid: number;
  /** Resolves when the engine's process has ended, by itself or by `stop`. */
  readonly ended: Promise<void>;
  /** Ends the engine at once, with whatever it was generating. Harmless when repeated. */
  stop(): Promise<void>;
}

/**
 * Starts the engine and resolves when it serves.
 * @throws OperatorError `download_failed` when its Python environment cannot be made, `runtime_failed` with the end of
 *   its log when it does not start.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const python = await ensureVenv({ ...options, name: VENV_NAME, requirements: REQUIREMENTS });
  const child = spawn(python, [SCRIPT], { env: options.env, stdio: ['pipe', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-LOG_CHARS_MAX);
  });
  // Whoever writes to a process that has just ended gets EPIPE; its end is told by `exit`.
  child.stdin.on('error', () => {});
  const killChild = (): void => void child.kill('SIGKILL');
  process.once('exit', killChild);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  void ended.then(() => process.removeListener('exit', killChild));

  const { modelFile, modelName, port, slots, context, threads, key } = options;
  const request = { model: modelFile, alias: modelName, host: '127.0.0.1', port, slots, context, threads, key };
  child.stdin.write(`${JSON.stringify(request)}\n`);

  const url = await new Promise<string>((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer);
      killChild();
      reject(new OperatorError('runtime_failed', `llama.cpp did not start: ${reason}.`, log.trim() || null));
    };
    const timer = setTimeout(() => fail(`no answer for ${SERVING_MS_MAX} ms`), SERVING_MS_MAX);
    child.once('error', (error) => fail(messageOf(error)));
    child.once('close', (code, signal) => fail(`it ended with ${String(code ?? signal)}`));
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      // Read to the end of the process, so that the pipe never fills.
      output = (output + text).slice(-LOG_CHARS_MAX);
      const match = /^serving (http:\/\/\S+)$/m.exec(output);
      if (match?.[1] !== undefined) {
        clearTimeout(timer);
        resolve(match[1]);
      }
    });
  });

  const stop = async (): Promise<void> => {
    child.stdin.end();
    const timer = setTimeout(killChild, STOP_MS_MAX);
    await ended;
    clearTimeout(timer);
  };
  return { url, pid: child.pid ?? 0, ended, stop };
}
