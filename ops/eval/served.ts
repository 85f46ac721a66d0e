/** Log-probabilities from a running server: `/v1/completions` with token ids, `echo`, `logprobs` and no new tokens. */
import * as z from 'zod';
import { messageOf, OperatorError } from '../support/operator-error.ts';

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

const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })).min(1) });
const completionSchema = z.object({
  choices: z.array(z.object({ logprobs: z.object({ token_logprobs: z.array(z.number().nullable()) }) })).length(1),
});

/** The first model that a server lists. @throws OperatorError `request_failed`. */
export async function firstServedModel(url: string, apiKey: string): Promise<ServedModel> {
  const answer = await request(modelsSchema, new URL('/v1/models', url), apiKey, null);
  return { url, apiKey, modelId: answer.data[0]?.id ?? '' };
}

/**
 * Log-probability of every token of a window after the first.
 * @throws OperatorError `request_failed` with what the server said.
 */
export async function servedLogProbs(server: ServedModel, window: readonly number[]): Promise<number[]> {
  const body = { model: server.modelId, prompt: window, max_tokens: 0, echo: true, logprobs: 0, temperature: 0 };
  const answer = await request(completionSchema, new URL('/v1/completions', server.url), server.apiKey, body);
  const logprobs = answer.choices[0]?.logprobs.token_logprobs ?? [];
  // The first token is not predicted by anything: its entry is null.
  const predicted = logprobs.slice(1).filter((logprob) => logprob !== null);
  if (predicted.length !== window.length - 1) {
    throw new OperatorError(
      'request_failed',
      `The server gave ${predicted.length} log-probabilities for a window of ${window.length} tokens.`,
      'It must answer "echo": true with one log-probability for every prompt token after the first.',
    );
  }
  return predicted;
}

/** GETs, or POSTs `body`, and checks the answer's form. */
async function request<T>(schema: z.ZodType<T>, url: URL, apiKey: string, body: object | null): Promise<T> {
  let status: number;
  let text: string;
  try {
    const response = await fetch(url, {
      headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
      ...(body === null ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    const message = `${url.href} could not be reached: ${messageOf(error)}.`;
    throw new OperatorError('request_failed', message, 'Is the server running?', { cause: error });
  }
  const parsed = status === 200 ? schema.safeParse(parseJson(text)) : null;
  if (parsed?.success !== true) {
    throw new OperatorError('request_failed', `${url.href} answered ${status}: ${text.slice(0, ANSWER_CHARS_MAX)}`);
  }
  return parsed.data;
}

/** Null for what is not JSON, which no schema accepts. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
