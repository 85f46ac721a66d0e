/** llama.cpp's own server with one thread as the peer: the same model file, measured over the same HTTP calls. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { CommandContext } from '../cli/context.ts';
import { ensureVenv } from '../eval/venv.ts';
import { obtainModelFile } from '../models/model-file.ts';
import { OperatorError } from '../support/operator-error.ts';
import type { Target } from './streams.ts';

const REQUIREMENTS = path.join(import.meta.dirname, 'requirements.txt');
const SCRIPT = path.join(import.meta.dirname, 'llama_cpp_server.py');
/** Loading a small model takes a second or two; a large one on a cold disk takes longer. */
const SERVING_MS_MAX = 60_000;
/** Room for 16 streams of a bench; each slot gets its share. */
const CONTEXT_TOKENS = 16_384;
const NUM_SLOTS = 16;

export interface LlamaCppServerOptions {
  /** The model's file; without it, the one that the platform serves. */
  readonly modelFile?: string;
  /** All slots together. */
  readonly contextTokens?: number;
  /** Requests that are computed at the same time. */
  readonly numSlots?: number;
}

/** Starts the server on a free port of its own choice. Its standard input is held open: when we end, it ends. */
export async function startLlamaCppServer(
  context: CommandContext,
  options: LlamaCppServerOptions = {},
): Promise<{ target: Target; stop: () => Promise<unknown> }> {
  const python = await ensureVenv({ ...context, name: 'venv-llama-cpp', requirements: REQUIREMENTS });
  const model = options.modelFile ?? (await obtainModelFile(undefined, context)).path;
  const args = [
    SCRIPT,
    model,
    '0',
    String(options.contextTokens ?? CONTEXT_TOKENS),
    String(options.numSlots ?? NUM_SLOTS),
  ];
  const child = spawn(python, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const url = await new Promise<string>((resolve, reject) => {
    const fail = (): void =>
      reject(new OperatorError('runtime_failed', 'llama.cpp did not start.', `Try: ${python} ${SCRIPT} ${model} 0`));
    const timer = setTimeout(fail, SERVING_MS_MAX);
    child.once('exit', fail);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      const match = /serving (http:\/\/\S+)/.exec(output);
      if (match?.[1] !== undefined) {
        clearTimeout(timer);
        resolve(match[1]);
      }
    });
  });
  return {
    target: { name: 'llama.cpp', url, key: 'none', model: 'default' },
    stop: () => {
      child.stdin.end();
      return ended;
    },
  };
}
