/** The events of one streamed answer, told apart: content, what is no content yet, the count, the end. */
import type { OriginChoice, OriginChunk, OriginUsage } from './origin-backend.ts';
import { UpstreamFormatError, type UpstreamEvent } from './upstream-events.ts';

/** The origin sent an error in place of a chunk. */
export class UpstreamErrorEvent extends Error {
  override readonly name = 'UpstreamErrorEvent';
  readonly detail: unknown;

  constructor(detail: unknown) {
    super('the stream has an error event');
    this.detail = detail;
  }
}

export interface AnswerPiece {
  readonly chunk: OriginChunk;
  /** Whether it has anything of the answer in it: text, reasoning, a tool call, a finish reason. */
  readonly hasContent: boolean;
  readonly completionTokens: number;
}

/** Follows one answer. Whether it is whole is for `isComplete` to say, never for the end of the stream. */
export class AnswerReader {
  readonly #numChoices: number;
  /** Counted by the engine or, where it does not count, by pieces, for each choice. */
  readonly #tokensOfChoice = new Map<number, number>();
  readonly #finished = new Set<number>();
  #usage: OriginUsage | null = null;

  constructor(numChoices: number) {
    this.#numChoices = numChoices;
  }

  /** Every choice has its finish reason. */
  get isComplete(): boolean {
    return this.#finished.size >= this.#numChoices;
  }

  get usage(): OriginUsage | null {
    return this.#usage;
  }

  get completionTokens(): number {
    let total = 0;
    for (const numTokens of this.#tokensOfChoice.values()) {
      total += numTokens;
    }
    return total;
  }

  /**
   * @returns null when there is nothing in it for the client.
   * @throws UpstreamErrorEvent; UpstreamFormatError when it is no chunk.
   */
  read(event: UpstreamEvent): AnswerPiece | null {
    if (event.type === 'done') {
      return null;
    }
    const { usage, timings, ...rest } = event.value;
    if (rest['error'] !== undefined && rest['error'] !== null) {
      throw new UpstreamErrorEvent(rest['error']);
    }
    const { choices } = rest;
    if (!Array.isArray(choices) || !choices.every(isObject)) {
      throw new UpstreamFormatError('an event has no choices');
    }
    this.#usage = readUsage(usage) ?? this.#usage;
    let hasContent = false;
    for (const choice of choices) {
      hasContent = this.#readChoice(choice, usage, timings) || hasContent;
    }
    if (choices.length === 0) {
      return null;
    }
    return { chunk: rest as OriginChunk, hasContent, completionTokens: this.completionTokens };
  }

  #readChoice(choice: OriginChoice, usage: unknown, timings: unknown): boolean {
    const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
    const hasText = hasTextIn(choice);
    const counted = numberIn(usage, 'completion_tokens') ?? numberIn(timings, 'predicted_n');
    const before = this.#tokensOfChoice.get(index) ?? 0;
    if (counted !== null && this.#numChoices === 1) {
      this.#tokensOfChoice.set(index, Math.max(before, counted));
    } else if (hasText) {
      this.#tokensOfChoice.set(index, before + 1);
    }
    const isFinished = typeof choice['finish_reason'] === 'string';
    if (isFinished) {
      this.#finished.add(index);
    }
    return hasText || isFinished;
  }
}

function hasTextIn(choice: OriginChoice): boolean {
  if (isNonEmptyText(choice['text'])) {
    return true;
  }
  const { delta } = choice;
  if (!isObject(delta)) {
    return false;
  }
  const { content, reasoning_content: reasoningContent, reasoning, refusal, tool_calls: toolCalls } = delta;
  return (
    [content, reasoningContent, reasoning, refusal].some(isNonEmptyText) ||
    (Array.isArray(toolCalls) && toolCalls.length > 0)
  );
}

/** @param usage in OpenAI's form. @returns null when it is none. */
export function readUsage(usage: unknown): OriginUsage | null {
  const promptTokens = numberIn(usage, 'prompt_tokens');
  if (promptTokens === null || !isObject(usage)) {
    return null;
  }
  return {
    promptTokens,
    completionTokens: numberIn(usage, 'completion_tokens') ?? 0,
    cachedTokens: numberIn(usage['prompt_tokens_details'], 'cached_tokens') ?? 0,
    reasoningTokens: numberIn(usage['completion_tokens_details'], 'reasoning_tokens') ?? 0,
  };
}

function numberIn(value: unknown, field: string): number | null {
  const number = isObject(value) ? value[field] : undefined;
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : null;
}

function isNonEmptyText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
