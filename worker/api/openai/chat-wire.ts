/** Answers of `POST /v1/chat/completions`. */
import type { TextEvent, TextToken } from '../../generation/text-sequence.ts';
import type { TextTokenizer } from '../../tokenizer/text-tokenizer.ts';
import type { AnswerEvents, AnswerWriter } from './plan.ts';
import { finiteLogprob, SSE_DONE, sseEvent, tokenText, UsageTally, type AnswerHead } from './wire.ts';

export interface ChatAnswerOptions {
  readonly head: AnswerHead;
  readonly tokenizer: TextTokenizer;
  readonly numChoices: number;
  readonly numPromptTokens: number;
  readonly withLogprobs: boolean;
  /** Whether a stream ends with a chunk that has the usage. */
  readonly includeUsage: boolean;
}

export function createChatWriter(options: ChatAnswerOptions): AnswerWriter {
  return {
    streamParts: (events) => streamParts(options, events),
    jsonAnswer: (events) => jsonAnswer(options, events),
  };
}

type FinishReason = Extract<TextEvent, { type: 'finish' }>['reason'];

async function* streamParts(options: ChatAnswerOptions, events: AnswerEvents): AsyncGenerator<string, void, undefined> {
  const usage = new UsageTally(options.numPromptTokens);
  const hasBegun = new Set<number>();
  const chunk = (choices: readonly object[]): string =>
    sseEvent({
      ...options.head,
      object: 'chat.completion.chunk',
      choices,
      ...(options.includeUsage ? { usage: choices.length === 0 ? usage.toWire() : null } : {}),
    });
  for await (const { index, value } of events) {
    if (value.type === 'prompt') {
      continue;
    }
    if (!hasBegun.has(index)) {
      hasBegun.add(index);
      const delta = { role: 'assistant', content: '', refusal: null };
      yield chunk([{ index, delta, logprobs: null, finish_reason: null }]);
    }
    if (value.type === 'delta') {
      const logprobs = options.withLogprobs ? chatLogprobs(options.tokenizer, value.tokens) : null;
      yield chunk([{ index, delta: { content: value.text }, logprobs, finish_reason: null }]);
    } else {
      usage.add(value.usage);
      yield chunk([{ index, delta: {}, logprobs: null, finish_reason: value.reason }]);
    }
  }
  if (options.includeUsage) {
    yield chunk([]);
  }
  yield SSE_DONE;
}

async function jsonAnswer(options: ChatAnswerOptions, events: AnswerEvents): Promise<string> {
  const usage = new UsageTally(options.numPromptTokens);
  const choices = Array.from({ length: options.numChoices }, () => ({
    text: '',
    tokens: [] as TextToken[],
    finishReason: null as FinishReason | null,
  }));
  for await (const { index, value } of events) {
    const choice = choices[index];
    if (choice !== undefined && value.type === 'delta') {
      choice.text += value.text;
      choice.tokens.push(...value.tokens);
    } else if (choice !== undefined && value.type === 'finish') {
      choice.finishReason = value.reason;
      usage.add(value.usage);
    }
  }
  return JSON.stringify({
    ...options.head,
    object: 'chat.completion',
    choices: choices.map(({ text, tokens, finishReason }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: options.withLogprobs ? chatLogprobs(options.tokenizer, tokens) : null,
      finish_reason: finishReason,
    })),
    usage: usage.toWire(),
  });
}

function chatLogprobs(tokenizer: TextTokenizer, tokens: readonly TextToken[]) {
  const entry = (tokenId: number, logprob: number | null) => ({
    token: tokenText(tokenizer, tokenId),
    logprob: finiteLogprob(logprob),
    bytes: [...tokenizer.tokenBytes(tokenId)],
  });
  return {
    content: tokens.map(({ tokenId, logprob }) => ({
      ...entry(tokenId, logprob?.logprob ?? null),
      top_logprobs: (logprob?.top ?? []).map(([topId, topLogprob]) => entry(topId, topLogprob)),
    })),
    refusal: null,
  };
}
