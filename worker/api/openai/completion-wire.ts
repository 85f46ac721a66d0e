/** Answers of `POST /v1/completions`. */
import type { TokenLogprob } from '../../../shards/engine/protocol.ts';
import { numCodePoints, type TextEvent } from '../../generation/text-sequence.ts';
import { IncrementalDetokenizer } from '../../tokenizer/detokenizer.ts';
import type { TextTokenizer } from '../../tokenizer/text-tokenizer.ts';
import type { AnswerEvents, AnswerWriter } from './plan.ts';
import { finiteLogprob, SSE_DONE, sseEvent, tokenText, UsageTally, type AnswerHead } from './wire.ts';

/** The part of an answer that repeats the prompt. */
export interface PromptEcho {
  readonly text: string;
  readonly tokens: readonly number[];
}

export interface CompletionAnswerOptions {
  readonly head: AnswerHead;
  readonly tokenizer: TextTokenizer;
  /** What each choice begins with; null without `echo`. */
  readonly echoes: readonly (PromptEcho | null)[];
  readonly numPromptTokens: number;
  readonly withLogprobs: boolean;
  readonly includeUsage: boolean;
}

export function createCompletionWriter(options: CompletionAnswerOptions): AnswerWriter {
  return {
    streamParts: (events) => streamParts(options, events),
    jsonAnswer: (events) => jsonAnswer(options, events),
  };
}

/** OpenAI's older form: four lists of equal length. `text_offset` counts characters (code points). */
interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

interface ChoicePart {
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  readonly finishReason: 'stop' | 'length' | null;
}

async function* streamParts(
  options: CompletionAnswerOptions,
  events: AnswerEvents,
): AsyncGenerator<string, void, undefined> {
  const usage = new UsageTally(options.numPromptTokens);
  const choices = options.echoes.map((echo) => new ChoiceParts(options, echo));
  const chunk = (payload: readonly object[]): string =>
    sseEvent({
      ...options.head,
      object: 'text_completion',
      choices: payload,
      ...(options.includeUsage ? { usage: payload.length === 0 ? usage.toWire() : null } : {}),
    });
  for await (const { index, value } of events) {
    if (value.type === 'finish') {
      usage.add(value.usage);
    }
    for (const { text, logprobs, finishReason } of choices[index]?.partsOf(value) ?? []) {
      yield chunk([{ index, text, logprobs, finish_reason: finishReason }]);
    }
  }
  if (options.includeUsage) {
    yield chunk([]);
  }
  yield SSE_DONE;
}

async function jsonAnswer(options: CompletionAnswerOptions, events: AnswerEvents): Promise<string> {
  const usage = new UsageTally(options.numPromptTokens);
  const choices = options.echoes.map((echo) => ({
    parts: new ChoiceParts(options, echo),
    text: '',
    logprobs: options.withLogprobs ? noLogprobs() : null,
    finishReason: null as ChoicePart['finishReason'],
  }));
  for await (const { index, value } of events) {
    if (value.type === 'finish') {
      usage.add(value.usage);
    }
    const choice = choices[index];
    for (const part of choice?.parts.partsOf(value) ?? []) {
      if (choice !== undefined) {
        choice.text += part.text;
        choice.finishReason = part.finishReason;
        appendLogprobs(choice.logprobs, part.logprobs);
      }
    }
  }
  return JSON.stringify({
    ...options.head,
    object: 'text_completion',
    choices: choices.map(({ text, logprobs, finishReason }, index) => ({
      index,
      text,
      logprobs,
      finish_reason: finishReason,
    })),
    usage: usage.toWire(),
  });
}

/** Turns the events of one choice into parts of its answer; the echo comes first. */
class ChoiceParts {
  readonly #options: CompletionAnswerOptions;
  readonly #echo: PromptEcho | null;
  readonly #echoLength: number;
  #hasBegun = false;

  constructor(options: CompletionAnswerOptions, echo: PromptEcho | null) {
    this.#options = options;
    this.#echo = echo;
    this.#echoLength = echo === null ? 0 : numCodePoints(echo.text);
  }

  *partsOf(event: TextEvent): Generator<ChoicePart> {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      if (this.#echo !== null) {
        yield this.#echoPart(this.#echo, event.type === 'prompt' ? event.logprobs : []);
      }
    }
    if (event.type === 'finish') {
      yield { text: '', logprobs: null, finishReason: event.reason };
    }
    if (event.type === 'delta') {
      const logprobs = this.#options.withLogprobs ? noLogprobs() : null;
      for (const { tokenId, logprob, textOffset } of event.tokens) {
        this.#addToken(logprobs, tokenId, logprob, this.#echoLength + textOffset);
      }
      yield { text: event.text, logprobs, finishReason: null };
    }
  }

  /** The first token of a prompt has no predecessor, hence no probability: OpenAI writes null. */
  #echoPart(echo: PromptEcho, promptLogprobs: readonly TokenLogprob[]): ChoicePart {
    const logprobs = this.#options.withLogprobs ? noLogprobs() : null;
    const detokenizer = new IncrementalDetokenizer(this.#options.tokenizer, { keepSpecialTokens: true });
    let textOffset = 0;
    echo.tokens.forEach((tokenId, position) => {
      this.#addToken(logprobs, tokenId, promptLogprobs[position - 1] ?? null, textOffset);
      textOffset += numCodePoints(detokenizer.push(tokenId));
    });
    return { text: echo.text, logprobs, finishReason: null };
  }

  #addToken(
    logprobs: CompletionLogprobs | null,
    tokenId: number,
    logprob: TokenLogprob | null,
    textOffset: number,
  ): void {
    const { tokenizer } = this.#options;
    logprobs?.tokens.push(tokenText(tokenizer, tokenId));
    logprobs?.token_logprobs.push(logprob === null ? null : finiteLogprob(logprob.logprob));
    logprobs?.top_logprobs.push(logprob === null ? null : topLogprobs(tokenizer, tokenId, logprob));
    logprobs?.text_offset.push(textOffset);
  }
}

/** The most likely tokens and the one that came, which may be one more than was asked for, as with OpenAI. */
function topLogprobs(tokenizer: TextTokenizer, tokenId: number, logprob: TokenLogprob): Record<string, number> {
  const entries = new Map<string, number>();
  for (const [topId, topLogprob] of [...logprob.top, [tokenId, logprob.logprob] as const]) {
    const text = tokenText(tokenizer, topId);
    // Two tokens can have one text (a special one and its plain twin); the likelier came first.
    if (!entries.has(text)) {
      entries.set(text, finiteLogprob(topLogprob));
    }
  }
  return Object.fromEntries(entries);
}

const noLogprobs = (): CompletionLogprobs => ({ tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] });

function appendLogprobs(target: CompletionLogprobs | null, part: CompletionLogprobs | null): void {
  if (target === null || part === null) {
    return;
  }
  for (const [index, token] of part.tokens.entries()) {
    target.tokens.push(token);
    target.token_logprobs.push(part.token_logprobs[index] ?? null);
    target.top_logprobs.push(part.top_logprobs[index] ?? null);
    target.text_offset.push(part.text_offset[index] ?? 0);
  }
}
