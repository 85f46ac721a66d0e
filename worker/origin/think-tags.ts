/** Tells a model's thinking from its answer in text that comes in pieces: what stands before `</think>`. */

const OPENING = '<think>';
const CLOSING = '</think>';

export interface SplitText {
  readonly reasoning: string;
  readonly content: string;
}

/**
 * Thinking begins with `<think>`, which must be the first thing in the text, or, where the chat template has written the
 * tag already (`closing`), with the text itself.
 */
export class ThinkTagSplitter {
  readonly #stateWithoutTag: 'thinking' | 'content';
  #state: 'start' | 'thinking' | 'after' | 'content' = 'start';
  /** Not given out yet: it may become a tag. */
  #held = '';

  constructor(form: 'pair' | 'closing') {
    this.#stateWithoutTag = form === 'pair' ? 'content' : 'thinking';
  }

  push(text: string): SplitText {
    this.#held += text;
    let reasoning = '';
    if (this.#state === 'start') {
      const begun = this.#held.trimStart();
      if (begun.startsWith(OPENING)) {
        this.#state = 'thinking';
        this.#held = begun.slice(OPENING.length);
      } else if (OPENING.startsWith(begun)) {
        return { reasoning: '', content: '' };
      } else {
        this.#state = this.#stateWithoutTag;
      }
    }
    if (this.#state === 'thinking') {
      const end = this.#held.indexOf(CLOSING);
      if (end < 0) {
        return { reasoning: this.#takeUpToPartOf(CLOSING), content: '' };
      }
      reasoning = this.#held.slice(0, end);
      this.#held = this.#held.slice(end + CLOSING.length);
      this.#state = 'after';
    }
    return { reasoning, content: this.#takeContent() };
  }

  /** What is held when the text ends: the part of a tag that never became one. */
  end(): SplitText {
    const rest = this.#held;
    this.#held = '';
    const isThinking = this.#state === 'thinking' || (this.#state === 'start' && this.#stateWithoutTag === 'thinking');
    return isThinking ? { reasoning: rest, content: '' } : { reasoning: '', content: rest };
  }

  /** Newlines between thinking and answer belong to neither. */
  #takeContent(): string {
    if (this.#state === 'after') {
      this.#held = this.#held.replace(/^\s+/, '');
      if (this.#held === '') {
        return '';
      }
      this.#state = 'content';
    }
    const content = this.#held;
    this.#held = '';
    return content;
  }

  #takeUpToPartOf(tag: string): string {
    let keep = Math.min(tag.length - 1, this.#held.length);
    while (!this.#held.endsWith(tag.slice(0, keep))) {
      keep--;
    }
    const taken = this.#held.slice(0, this.#held.length - keep);
    this.#held = this.#held.slice(this.#held.length - keep);
    return taken;
  }
}
