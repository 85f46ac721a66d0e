/** Perplexity through a running server: `/v1/completions` with token ids, `echo`, `logprobs` and no new tokens. */
import * as z from 'zod';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import type { Step } from '../support/progress.ts';

export interface ServedModel {
  /** Base URL without `/v1`, such as `http://127.0.0.1:8787`. */
  readonly url: string;
  readonly apiKey: string;
  /** Model id as the server lists it. */
  readonly modelId: string;
}

/** A window of 512 tokens takes seconds; a server that has not answered after this long will not. */
const REQUEST_MS_MAX = 120_000;

/** Characters of an unexpected answer that an error message shows. */
const ANSWER_CHARS_MAX = 300;

const completionSchema = z.object({
  choices: z.array(z.object({ logprobs: z.object({ token_logprobs: z.array(z.number().nullable()) }) })).length(1),
});

/**
 * exp of the mean negative log-probability of every token after the first of each window.
 * @throws OperatorError `request_failed` with what the server said.
 */
export async function servedPerplexity(
  server: ServedModel,
  windows: readonly (readonly number[])[],
  step: Step,
): Promise<{ readonly perplexity: number; readonly numPredictions: number }> {
  step.total(windows.length, 'items');
  let sum = 0;
  let numPredictions = 0;
  for (const [index, window] of windows.entries()) {
    const logprobs = await promptLogprobs(server, window);
    // The first token is not predicted by anything: its entry is null.
    const predicted = logprobs.slice(1);
    if (logprobs.length !== window.length || predicted.some((logprob) => logprob === null)) {
      throw new OperatorError(
        'request_failed',
        `The server gave ${logprobs.filter((logprob) => logprob !== null).length} log-probabilities for a window of ${window.length} tokens.`,
        'It must answer "echo": true with one log-probability for every prompt token after the first.',
      );
    }
    sum += predicted.reduce<number>((total, logprob) => total + (logprob ?? 0), 0);
    numPredictions += predicted.length;
    step.update(index + 1);
  }
  return { perplexity: Math.exp(-sum / numPredictions), numPredictions };
}

async function promptLogprobs(server: ServedModel, window: readonly number[]): Promise<(number | null)[]> {
  const url = new URL('/v1/completions', server.url);
  const body = { model: server.modelId, prompt: window, max_tokens: 0, echo: true, logprobs: 0, temperature: 0 };
  let status: number;
  let text: string;
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${server.apiKey}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    throw new OperatorError(
      'request_failed',
      `${url.href} could not be reached: ${messageOf(error)}.`,
      'Is it running?',
      {
        cause: error,
      },
    );
  }
  const parsed = status === 200 ? completionSchema.safeParse(parseJson(text)) : null;
  const [choice] = parsed?.data?.choices ?? [];
  if (choice === undefined) {
    throw new OperatorError('request_failed', `${url.href} answered ${status}: ${text.slice(0, ANSWER_CHARS_MAX)}`);
  }
  return choice.logprobs.token_logprobs;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
