/**
 * Finds stop strings in a text that arrives in pieces, across any borders, and holds back no more of it than could still
 * become one.
 */
export interface StopMatch {
  /** Text that is certain not to belong to a stop string, and not handed out before. */
  readonly text: string;
  /** Whether a stop string was found right behind `text`. The rest of the input is dropped. */
  readonly isMatched: boolean;
}

export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #lengthMax: number;
  #held = '';

  /** @param stops strings of at least one character. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#lengthMax = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** Adds a piece. Of several stop strings the one that ends first counts, however the text is cut into pieces. */
  push(piece: string): StopMatch {
    const text = this.#held + piece;
    const matchStart = this.#firstMatch(text);
    if (matchStart >= 0) {
      this.#held = '';
      return { text: text.slice(0, matchStart), isMatched: true };
    }
    const safeEnd = this.#safeEnd(text);
    this.#held = text.slice(safeEnd);
    return { text: text.slice(0, safeEnd), isMatched: false };
  }

  /** Ends the text. @returns what was held back: it became no stop string. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** The match that ends first, since that is known first; of two with one end the longer. -1 for none. */
  #firstMatch(text: string): number {
    let matchStart = -1;
    let matchEnd = Infinity;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      const end = start + stop.length;
      if (start >= 0 && (end < matchEnd || (end === matchEnd && start < matchStart))) {
        matchStart = start;
        matchEnd = end;
      }
    }
    return matchStart;
  }

  /** Start of the longest end of `text` that is the beginning of a stop string. */
  #safeEnd(text: string): number {
    for (let start = Math.max(0, text.length - this.#lengthMax + 1); start < text.length; start++) {
      const tail = text.slice(start);
      if (this.#stops.some((stop) => stop.startsWith(tail))) {
        return start;
      }
    }
    return text.length;
  }
}
