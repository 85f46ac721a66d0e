/** The right to fit a classifier: an isolate holds the objects of many, and has memory for one fit. */
export class TrainingLease {
  readonly #staleMs: number;
  #holder: { readonly owner: object; lastUsedMs: number } | null = null;

  /** @param staleMs a holder that has not shown itself for so long is gone: objects are reset without notice */
  constructor(staleMs: number) {
    this.#staleMs = staleMs;
  }

  /** Asks again with every slice. @returns whether `owner` has it now */
  acquire(owner: object, nowMs: number): boolean {
    const holder = this.#holder;
    if (holder !== null && holder.owner !== owner && nowMs - holder.lastUsedMs < this.#staleMs) {
      return false;
    }
    this.#holder = { owner, lastUsedMs: nowMs };
    return true;
  }

  release(owner: object): void {
    if (this.#holder?.owner === owner) {
      this.#holder = null;
    }
  }
}
