/**
 * What a step costs, by its tokens, to weigh draft tokens against the tokens that they may bring. The arithmetic of each
 * token costs the same everywhere; what a step costs beside it, weights that come from memory and hops round a ring,
 * differs from machine to machine and is measured.
 */

/** Tokens that the matrix products take together, and what that costs where arithmetic is all. */
const TILE_TOKENS = 4;
const TILE_COST = 2.2;
/** What is left over costs by itself: nothing, one token, two, and three, which are computed as two and one. */
const LEFT_OVER_COSTS = [0, 1, 1.3, 2.3] as const;

/** Share of a step of one token that does not grow with tokens; below 0 where each token costs more than a tile says. */
const FIXED_SHARE_MIN = -0.5;
const FIXED_SHARE_MAX = 0.75;
/** Before anything was measured the share is 0, which counts as much as so many steps: drafts are made with caution. */
const PRIOR_STEPS = 8;
/** What was measured fades: after 50 steps a third is left. */
const RETENTION = 0.98;
/** A step that took so many times the mean waited for something else. */
const OUTLIER = 4;

/** The cost of arithmetic alone, in steps of one token; measured in the Workers runtime (`docs/speculation.md`). */
function arithmeticCost(numTokens: number): number {
  const numLeftOver = numTokens % TILE_TOKENS;
  return ((numTokens - numLeftOver) / TILE_TOKENS) * TILE_COST + (LEFT_OVER_COSTS[numLeftOver] as number);
}

export class StepCost {
  readonly #oneMs = new FadingMean();
  /** Of steps with at least one whole tile of tokens. */
  readonly #tiledMs = new FadingMean();
  readonly #tiledCost = new FadingMean();

  /**
   * A step that did nothing but compute the next tokens of sequences took so long, from sending it to its last token.
   * @param ms as the runtime's clock has it: 0 says nothing.
   */
  note(numTokens: number, ms: number): void {
    if (ms <= 0) {
      return;
    }
    if (numTokens === 1) {
      this.#oneMs.add(ms);
    } else if (numTokens >= TILE_TOKENS) {
      this.#tiledMs.add(ms);
      this.#tiledCost.add(arithmeticCost(numTokens));
    }
  }

  /** The time of a step of `numTokens`, as a multiple of a step of one. */
  of(numTokens: number): number {
    const share = this.#fixedShare();
    return share + (1 - share) * arithmeticCost(numTokens);
  }

  /** How far the time of tiled steps lies between that of one token and what arithmetic alone would take. */
  #fixedShare(): number {
    const numSteps = Math.min(this.#oneMs.weight, this.#tiledMs.weight);
    if (numSteps === 0) {
      return 0;
    }
    const growth = this.#tiledMs.mean / this.#oneMs.mean - 1;
    const share = 1 - growth / (this.#tiledCost.mean - 1);
    const bounded = Math.max(FIXED_SHARE_MIN, Math.min(FIXED_SHARE_MAX, share));
    return (bounded * numSteps) / (numSteps + PRIOR_STEPS);
  }
}

class FadingMean {
  #sum = 0;
  #weight = 0;

  get weight(): number {
    return this.#weight;
  }

  get mean(): number {
    return this.#sum / this.#weight;
  }

  add(value: number): void {
    const bounded = this.#weight < 1 ? value : Math.min(value, OUTLIER * this.mean);
    this.#sum = this.#sum * RETENTION + bounded;
    this.#weight = this.#weight * RETENTION + 1;
  }
}
