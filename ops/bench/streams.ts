/** Timed streams against any server that speaks the OpenAI completions API, so that peers are measured by the same code. */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { OperatorError } from '../support/operator-error.ts';

export interface Target {
  /** Name in the report. */
  readonly name: string;
  /** Base URL without `/v1`. */
  readonly url: string;
  readonly key: string;
  readonly model: string;
}

export interface StreamTiming {
  readonly promptTokens: number;
  /** Of the prompt, those that the server says it did not compute. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** From sending the request to the first token. */
  readonly ttftMs: number;
  /** Between one token and the next, in order. */
  readonly itlMs: readonly number[];
  /** Time of the first and of the last token, on the clock that was passed in. */
  readonly firstMs: number;
  readonly lastMs: number;
}

interface CompletionChunk {
  readonly choices?: readonly { readonly text?: string }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly error?: { readonly message?: string };
}

/**
 * Streams one greedy completion and notes when each token came. One event is taken as one token, which holds for every
 * server that does not merge events; the count that the server reports in `usage` is what rates are computed from.
 * @throws OperatorError `request_failed` when the server answers anything but a stream of tokens.
 */
export async function timeStream(
  target: Target,
  prompt: string,
  maxTokens: number,
  nowMs: () => number,
): Promise<StreamTiming> {
  const startMs = nowMs();
  const response = await fetch(`${target.url}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${target.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: target.model,
      prompt,
      max_tokens: maxTokens,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  if (!response.ok || response.body === null) {
    throw new OperatorError('request_failed', `${target.name} answered ${response.status}: ${await response.text()}`);
  }
  const arrivals: number[] = [];
  let usage: CompletionChunk['usage'] = null;
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const event of events) {
    if (event.data === '[DONE]') {
      continue;
    }
    const chunk = JSON.parse(event.data) as CompletionChunk;
    if (chunk.error !== undefined) {
      throw new OperatorError('request_failed', `${target.name}: ${chunk.error.message ?? 'the stream broke'}`);
    }
    if ((chunk.choices?.[0]?.text ?? '') !== '') {
      arrivals.push(nowMs());
    }
    usage = chunk.usage ?? usage;
  }
  const firstMs = arrivals[0];
  const lastMs = arrivals.at(-1);
  if (firstMs === undefined || lastMs === undefined || usage === null || usage === undefined) {
    throw new OperatorError('request_failed', `${target.name} sent no token, or no usage at the end of the stream.`);
  }
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: usage.completion_tokens,
    ttftMs: firstMs - startMs,
    itlMs: arrivals.slice(1).map((time, index) => time - (arrivals[index] ?? time)),
    firstMs,
    lastMs,
  };
}
