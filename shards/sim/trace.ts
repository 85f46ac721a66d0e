/** What happened in a simulation, in order: a hash of all of it, and its end in words. */

/** Enough to see what led to a failure; a whole run has tens of thousands of events. */
export const TRACE_LINES_MAX = 400;

export class Trace {
  #high = 0x811c9dc5;
  #low = 0x1000193;
  #numLines = 0;
  readonly #last: string[] = [];

  add(nowMs: number, what: string): void {
    const line = `${nowMs.toFixed(3)} ${what}`;
    for (let i = 0; i < line.length; i++) {
      this.#high = Math.imul(this.#high ^ line.charCodeAt(i), 0x01000193);
      this.#low = Math.imul(this.#low + line.charCodeAt(i), 0x85ebca6b) ^ (this.#low >>> 13);
    }
    // A ring: the oldest line gives its place to the newest.
    this.#last[this.#numLines % TRACE_LINES_MAX] = line;
    this.#numLines++;
  }

  get numLines(): number {
    return this.#numLines;
  }

  /** Equal for equal runs, and for others with a probability of 2^-64. */
  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /** At most `TRACE_LINES_MAX` lines, oldest first. */
  last(): string[] {
    const start = this.#numLines % TRACE_LINES_MAX;
    return this.#numLines <= TRACE_LINES_MAX
      ? [...this.#last]
      : [...this.#last.slice(start), ...this.#last.slice(0, start)];
  }
}
