/**
 * Keeps text that looks like a special token apart from special tokens while a chat template is rendered.
 *
 * A template is rendered to one string in which `<|im_end|>` ends a turn. A message that says `<|im_end|>` must not. So
 * before rendering, such text inside messages is replaced by a mark; after rendering, the string is split at special
 * tokens, which now can only be the template's own, and the marks are turned back within the pieces between them. The
 * template sees every other message as it is, so templates that trim or search the content work, and the pieces are the
 * ones that tokenising the whole rendered string would give.
 */

/** U+FDD0 and U+FDD1 are noncharacters: Unicode reserves them for internal use and promises never to assign them. */
const MARK_START = '\uFDD0';
const MARK_END = '\uFDD1';
const MARK_PATTERN = /\uFDD0(\d+)\uFDD1/g;

export class SpecialText {
  readonly #specialTexts: readonly string[];
  readonly #pattern: RegExp;
  readonly #hidden: string[] = [];
  readonly #indexOfHidden = new Map<string, number>();

  constructor(specialTokens: ReadonlyMap<string, number>) {
    // Longest first: of two special tokens that start at one place the longer one is meant.
    this.#specialTexts = [...specialTokens.keys()].sort((a, b) => b.length - a.length);
    const escaped = this.#specialTexts.map((text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'));
    this.#pattern = new RegExp([...escaped, MARK_START, MARK_END].join('|'), 'g');
  }

  /**
   * Replaces everything in `content` that is a special token, or that could become one together with the template's text
   * around it (an end such as `<|im_`, a start such as `>`), by marks.
   */
  hide(content: string): string {
    if (this.#specialTexts.some((special) => special.includes(content)) && content !== '') {
      return this.#mark(content);
    }
    const tail = this.#longestEdge(content, (special, size) => content.endsWith(special.slice(0, size)));
    const head = this.#longestEdge(content, (special, size) => content.startsWith(special.slice(-size)));
    const start = Math.min(head, content.length - tail);
    const middle = content.slice(start, content.length - tail).replace(this.#pattern, (text) => this.#mark(text));
    return (
      (start > 0 ? this.#mark(content.slice(0, start)) : '') +
      middle +
      (tail > 0 ? this.#mark(content.slice(content.length - tail)) : '')
    );
  }

  /** Turns the marks of `hide` back into the text they stand for. */
  reveal(rendered: string): string {
    return rendered.replace(MARK_PATTERN, (mark, index: string) => this.#hidden[Number(index)] ?? mark);
  }

  /** Cuts a rendered template into special tokens and the text between them. */
  split(rendered: string): { readonly text: string; readonly isSpecial: boolean }[] {
    const pieces: { text: string; isSpecial: boolean }[] = [];
    let textStart = 0;
    for (const match of rendered.matchAll(this.#pattern)) {
      if (match[0] !== MARK_START && match[0] !== MARK_END) {
        pieces.push({ text: rendered.slice(textStart, match.index), isSpecial: false });
        pieces.push({ text: match[0], isSpecial: true });
        textStart = match.index + match[0].length;
      }
    }
    pieces.push({ text: rendered.slice(textStart), isSpecial: false });
    return pieces.filter((piece) => piece.text !== '');
  }

  #mark(text: string): string {
    let index = this.#indexOfHidden.get(text);
    if (index === undefined) {
      index = this.#hidden.push(text) - 1;
      this.#indexOfHidden.set(text, index);
    }
    return `${MARK_START}${index}${MARK_END}`;
  }

  /** Length of the longest proper part of any special token for which `matches` holds. */
  #longestEdge(content: string, matches: (special: string, size: number) => boolean): number {
    let longest = 0;
    for (const special of this.#specialTexts) {
      for (let size = Math.min(special.length - 1, content.length); size > longest; size--) {
        if (matches(special, size)) {
          longest = size;
        }
      }
    }
    return longest;
  }
}
