/** What a step costs, by its tokens, to weigh draft tokens against the tokens that they may bring. */

/** Tokens that the matrix products take together, and what that costs. */
const TILE_TOKENS = 4;
const TILE_COST = 2.2;
/** What is left over costs by itself: nothing, one token, two, and three, which are computed as two and one. */
const LEFT_OVER_COSTS = [0, 1, 1.3, 2.3] as const;

/**
 * The time of a step of `numTokens`, as a multiple of a step of one: measured with the default model on one core in the
 * Workers runtime, LM head of all tokens included (`docs/speculation.md`).
 */
export function stepCost(numTokens: number): number {
  const numLeftOver = numTokens % TILE_TOKENS;
  return ((numTokens - numLeftOver) / TILE_TOKENS) * TILE_COST + (LEFT_OVER_COSTS[numLeftOver] as number);
}
