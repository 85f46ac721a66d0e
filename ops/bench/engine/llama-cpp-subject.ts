/** llama.cpp with one thread as a subject of the bench, timed by its own clock. */
import type { CommandContext } from '../../cli/context.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { startLlamaCppServer } from '../llama-cpp-server.ts';
import { type LlamaCppTimings, type SubjectFactory, timingOf } from './subject.ts';

export interface LlamaCppSubjectOptions {
  readonly context: CommandContext;
  readonly modelFile: string;
  readonly contextTokens: number;
}

export function llamaCppSubject(options: LlamaCppSubjectOptions): SubjectFactory {
  const { context, modelFile, contextTokens } = options;
  const name = 'llama.cpp';
  return {
    name,
    start: async () => {
      const server = await startLlamaCppServer(context, { modelFile, contextTokens, numSlots: 1 });
      return {
        name,
        complete: async (prompt, maxTokens) => {
          const response = await fetch(`${server.target.url}/completion`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({
              prompt: prompt.tokens,
              n_predict: maxTokens,
              temperature: 0,
              ignore_eos: true,
              cache_prompt: false,
            }),
          });
          if (!response.ok) {
            const text = await response.text();
            throw new OperatorError('request_failed', `llama.cpp answered ${response.status}: ${text}`);
          }
          const body = (await response.json()) as { readonly timings: LlamaCppTimings };
          return timingOf(body.timings);
        },
        stop: async () => {
          await server.stop();
        },
      };
    },
  };
}
