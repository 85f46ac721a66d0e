/** Pieces of OpenAI's answers that both interfaces share. */
import type { SequenceUsage } from '../../generation/text-sequence.ts';
import type { TextTokenizer } from '../../tokenizer/text-tokenizer.ts';

/** Head of every answer and chunk. */
export interface AnswerHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

export function sseEvent(payload: unknown): string {
  return `data: ${JSON.stringify(payload)}\n\n`;
}

/** Ends a stream that is complete. One that is not never gets it. */
export const SSE_DONE = 'data: [DONE]\n\n';

/** Adds up the choices of one request. */
export class UsageTally {
  readonly #promptTokens: number;
  #completionTokens = 0;
  #cachedTokens = 0;

  /** @param promptTokens of all prompts; each counts once, however many choices it has. */
  constructor(promptTokens: number) {
    this.#promptTokens = promptTokens;
  }

  add(usage: SequenceUsage): void {
    this.#completionTokens += usage.completionTokens;
    this.#cachedTokens += usage.cachedTokens;
  }

  toWire() {
    return {
      prompt_tokens: this.#promptTokens,
      completion_tokens: this.#completionTokens,
      total_tokens: this.#promptTokens + this.#completionTokens,
      // The choices of one prompt share its pages; the sum over them can exceed the prompt.
      prompt_tokens_details: { cached_tokens: Math.min(this.#cachedTokens, this.#promptTokens) },
    };
  }
}

/** Log-probabilities below this are written as it: JSON has no infinity. vLLM's value. */
const LOGPROB_MIN = -9999;

export function finiteLogprob(logprob: number | null): number {
  return logprob === null || !(logprob > LOGPROB_MIN) ? LOGPROB_MIN : logprob;
}

/** A token's text; one that is not whole UTF-8 characters is written `bytes:\xe4\xbd`, as OpenAI does. */
export function tokenText(tokenizer: TextTokenizer, tokenId: number): string {
  const bytes = tokenizer.tokenBytes(tokenId);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}
