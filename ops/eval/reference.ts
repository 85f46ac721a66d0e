/** The float32 reference (`oracle/reference.py`) as a child process that answers one window of tokens at a time. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { OperatorError } from '../support/operator-error.ts';
import { appendOutput, lastLines } from './run-program.ts';
import { ORACLE_FOLDER } from './venv.ts';

/** What the reference thinks of one window of `n` tokens. */
export interface ReferenceDistributions {
  /** `[n, vocabSize]` natural logarithms of probabilities; row `i` predicts what follows token `i`. */
  readonly logProbs: Float32Array<ArrayBuffer>;
  /** Likeliest token of each row. */
  readonly top1: readonly number[];
}

export interface Reference {
  readonly vocabSize: number;
  /** One call at a time. The distributions pass through a temporary file (100 MB at 512 tokens) that is deleted. */
  distributions(tokens: readonly number[]): Promise<ReferenceDistributions>;
  /** Log-probability of every token after the first. One call at a time. */
  targetLogProbs(tokens: readonly number[]): Promise<readonly number[]>;
  close(): Promise<void>;
}

interface ReadyLine {
  readonly vocabSize: number;
}
interface AnswerLine {
  readonly targetLogprobs: readonly number[];
  readonly top1: readonly number[];
}

/** Name of the file of distributions; one at a time exists. */
const WINDOW_FILE = 'window.f32';

/**
 * Starts the reference on a GGUF file and waits until it is loaded.
 * @param python interpreter with the packages of `oracle/requirements.txt`.
 * @throws OperatorError `runtime_failed` with the last lines that Python wrote.
 */
export async function startReference(python: string, modelFile: string): Promise<Reference> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lamina-reference-'));
  const args = [path.join(ORACLE_FOLDER, 'reference.py'), modelFile, '--output-dir', folder];
  const child = spawn(python, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const killChild = (): void => void child.kill();
  process.once('exit', killChild);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = appendOutput(stderr, text);
  });
  // A child that has died closes its input; the end of its output, noticed below, tells the reason.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      stderr = appendOutput(stderr, error.message);
      resolve();
    });
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  const close = async (): Promise<void> => {
    child.stdin.end();
    child.kill();
    await ended;
    process.removeListener('exit', killChild);
    await rm(folder, { recursive: true, force: true });
  };
  const nextLine = async (): Promise<unknown> => {
    const line = await lines.next();
    if (line.done === true) {
      await ended;
      await close();
      throw new OperatorError('runtime_failed', `The reference stopped: ${lastLines(stderr)}`);
    }
    return JSON.parse(line.value);
  };

  const ask = async (question: object): Promise<AnswerLine> => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    return (await nextLine()) as AnswerLine;
  };

  const { vocabSize } = (await nextLine()) as ReadyLine;
  return {
    vocabSize,
    async distributions(tokens) {
      const { top1 } = await ask({ tokens, file: WINDOW_FILE });
      const file = path.join(folder, WINDOW_FILE);
      const bytes = await readFile(file);
      await rm(file);
      const logProbs = new Float32Array(tokens.length * vocabSize);
      // The file is little-endian, as every machine that runs Node is.
      new Uint8Array(logProbs.buffer).set(bytes);
      return { logProbs, top1 };
    },
    targetLogProbs: async (tokens) => (await ask({ tokens })).targetLogprobs,
    close,
  };
}
