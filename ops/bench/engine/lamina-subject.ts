/** Our engine as a subject of the bench, from this tree or from another one. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { OperatorError } from '../../support/operator-error.ts';
import { appendOutput, lastLines } from '../../eval/run-program.ts';
import type { ChildRequest } from './lamina-child.ts';
import type { CompletionTiming, SubjectFactory } from './subject.ts';

/** The child's place in every tree. */
export const CHILD_FILE = path.join('ops', 'bench', 'engine', 'lamina-child.ts');

/**
 * The Workers runtime has no trap handler for WASM memory, so its loads and stores carry a comparison that Node's do
 * not. With it, the engine in Node is as fast as in a Worker, and no faster.
 */
const RUNTIME_FLAGS = ['--wasm-enforce-bounds-checks'];

export interface LaminaSubjectOptions {
  readonly name: string;
  /** Root of the tree whose engine runs. */
  readonly tree: string;
  readonly convertedFolder: string;
  /** Longest sequence, prompt and output together. */
  readonly contextTokens: number;
}

export function laminaSubject(options: LaminaSubjectOptions): SubjectFactory {
  const { name, tree, convertedFolder, contextTokens } = options;
  return {
    name,
    start: async () => {
      const args = [...RUNTIME_FLAGS, path.join(tree, CHILD_FILE), convertedFolder, String(contextTokens)];
      const child = spawn(process.execPath, args, {
        cwd: tree,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr = appendOutput(stderr, text);
      });
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
      const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      return {
        name,
        complete: async (prompt, maxTokens) => {
          const request: ChildRequest = { tokens: prompt.tokens, maxTokens };
          child.stdin.write(`${JSON.stringify(request)}\n`);
          const answer = await answers.next();
          if (answer.done === true) {
            await ended;
            throw new OperatorError('runtime_failed', `The engine of ${tree} ended: ${lastLines(stderr)}`);
          }
          const timing = JSON.parse(answer.value) as CompletionTiming | { readonly error: string };
          if ('error' in timing) {
            throw new OperatorError('runtime_failed', `The engine of ${tree} failed: ${timing.error}`);
          }
          return timing;
        },
        stop: () => {
          child.stdin.end();
          return ended;
        },
      };
    },
  };
}
