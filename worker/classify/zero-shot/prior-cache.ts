/** Sets of labels whose priors a gateway remembers; each set costs a dozen short prompts. */
export const PRIOR_SETS_MAX = 64;

/** What labels are worth by themselves, by set of labels; the longest unused set makes room. */
export class PriorCache {
  /** A map iterates in order of insertion: the longest unused comes first. */
  readonly #sets = new Map<string, Float64Array>();

  find(key: string): Float64Array | null {
    const means = this.#sets.get(key);
    if (means === undefined) {
      return null;
    }
    this.#sets.delete(key);
    this.#sets.set(key, means);
    return means;
  }

  keep(key: string, means: Float64Array): void {
    this.#sets.set(key, means);
    for (const oldest of this.#sets.keys()) {
      if (this.#sets.size <= PRIOR_SETS_MAX) {
        return;
      }
      this.#sets.delete(oldest);
    }
  }
}
