import type { SamplingParams } from '../engine/protocol.ts';

/** Which tokens a sequence has seen, as the penalties need it. Kept up to date token by token. */
export class TokenHistory {
  readonly #seenTokens = new Set<number>();
  readonly #outputCounts = new Map<number, number>();

  /** @param promptTokens count for the repetition penalty only: OpenAI's two penalties look at the output. */
  constructor(promptTokens: readonly number[]) {
    for (const tokenId of promptTokens) {
      this.#seenTokens.add(tokenId);
    }
  }

  addOutputToken(tokenId: number): void {
    this.#seenTokens.add(tokenId);
    this.#outputCounts.set(tokenId, (this.#outputCounts.get(tokenId) ?? 0) + 1);
  }

  /** Tokens of prompt and output, each once. */
  get seenTokens(): ReadonlySet<number> {
    return this.#seenTokens;
  }

  /** How often the output holds each of its tokens. */
  get outputCounts(): ReadonlyMap<number, number> {
    return this.#outputCounts;
  }
}

/** Whether `applyPenalties` looks at the history: a sequence without penalties need not keep one. */
export function usesHistory(params: SamplingParams): boolean {
  return params.repetitionPenalty !== 1 || params.presencePenalty !== 0 || params.frequencyPenalty !== 0;
}

/**
 * Adds the logit bias, then the penalties, in place. Only the logits of tokens that are concerned are touched.
 *
 * Repetition penalty: Keskar et al., "CTRL" (2019), section 4.1, as transformers does it (a negative logit is
 * multiplied, so that the penalty never helps). Presence and frequency penalty: OpenAI's API reference.
 * @param logits `[vocabSize]`
 */
export function applyPenalties(logits: Float32Array, history: TokenHistory | null, params: SamplingParams): void {
  for (const [tokenId, bias] of params.logitBias) {
    logits[tokenId] = (logits[tokenId] as number) + bias;
  }
  if (history === null) {
    return;
  }
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = params;
  if (repetitionPenalty !== 1) {
    for (const tokenId of history.seenTokens) {
      const logit = logits[tokenId] as number;
      logits[tokenId] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    }
  }
  if (presencePenalty !== 0 || frequencyPenalty !== 0) {
    for (const [tokenId, count] of history.outputCounts) {
      logits[tokenId] = (logits[tokenId] as number) - presencePenalty - frequencyPenalty * count;
    }
  }
}
