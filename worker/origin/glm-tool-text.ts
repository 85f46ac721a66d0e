/**
 * Reads the tool calls of GLM-4-0414 out of its text, for engines that have no parser for them: the answer is the name of
 * a tool, a newline, and a JSON object with its arguments; several calls follow each other. Any other text is content.
 */

/** Longest arguments of a call; what grows beyond it is given out as the text it is. */
export const ARGUMENTS_LENGTH_MAX = 256 * 1024;

export interface ParsedToolCall {
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

export interface ParsedText {
  readonly content: string;
  readonly toolCalls: readonly ParsedToolCall[];
}

export class GlmToolTextParser {
  readonly #names: readonly string[];
  readonly #scanner = new ObjectScanner();
  /** Held back while it may be a call. */
  #held = '';
  /** The name whose arguments are being read, and where in `#held` they begin. */
  #open: { readonly name: string; readonly start: number } | null = null;
  #isContent = false;
  #hasCalled = false;

  /** @param names of the tools that the request offers: no other is taken for a call. */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  push(text: string): ParsedText {
    if (this.#isContent) {
      return { content: text, toolCalls: [] };
    }
    this.#held += text;
    const toolCalls: ParsedToolCall[] = [];
    for (;;) {
      if (this.#open === null && !this.#findOpening()) {
        return { content: this.#isContent ? this.#takeHeld() : '', toolCalls };
      }
      const call = this.#readArguments();
      if (call === null) {
        return { content: this.#isContent ? this.#takeHeld() : '', toolCalls };
      }
      toolCalls.push(call);
    }
  }

  /** What is held when the text ends: a call that was not finished is text. */
  end(): ParsedText {
    const rest = this.#takeHeld();
    // Whitespace after a call separates it from nothing.
    return { content: this.#hasCalled && rest.trim() === '' ? '' : rest, toolCalls: [] };
  }

  /** Looks for `name\n{`. @returns false when it is not there, or not yet. */
  #findOpening(): boolean {
    const begun = this.#held.trimStart();
    const offset = this.#held.length - begun.length;
    let isUndecided = begun === '';
    for (const name of this.#names) {
      const match = begun.startsWith(name) ? /^[ \t]*\n\s*(\{)?/.exec(begun.slice(name.length)) : null;
      if (match?.[1] !== undefined) {
        this.#open = { name, start: offset + name.length + match[0].length - 1 };
        this.#scanner.reset();
        return true;
      }
      isUndecided ||= name.startsWith(begun) || isHeaderSoFar(begun, name);
    }
    this.#isContent = !isUndecided;
    return false;
  }

  /** @returns null when they are not whole yet, or turn out to be none. */
  #readArguments(): ParsedToolCall | null {
    if (this.#open === null) {
      return null;
    }
    const { name, start } = this.#open;
    const end = this.#scanner.findEnd(this.#held, start);
    if (end === null) {
      this.#isContent = this.#held.length - start > ARGUMENTS_LENGTH_MAX;
      return null;
    }
    const text = this.#held.slice(start, end);
    if (text.length > ARGUMENTS_LENGTH_MAX || !isJson(text)) {
      this.#isContent = true;
      return null;
    }
    this.#held = this.#held.slice(end);
    this.#open = null;
    this.#hasCalled = true;
    return { name, arguments: text };
  }

  #takeHeld(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}

/** Whether the text is the name and then nothing but the space that may stand before the arguments. */
function isHeaderSoFar(text: string, name: string): boolean {
  return text.startsWith(name) && /^[ \t]*(\n\s*)?$/.test(text.slice(name.length));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Finds the brace that closes an object, reading each character once however the text comes. */
class ObjectScanner {
  #position = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  reset(): void {
    this.#position = 0;
    this.#depth = 0;
    this.#isInString = false;
    this.#isEscaped = false;
  }

  /** @param start where the object opens. @returns the index after its end; null when that has not come. */
  findEnd(text: string, start: number): number | null {
    for (this.#position = Math.max(this.#position, start); this.#position < text.length; this.#position++) {
      const character = text[this.#position];
      if (this.#isEscaped) {
        this.#isEscaped = false;
      } else if (this.#isInString) {
        this.#isEscaped = character === '\\';
        this.#isInString = character !== '"';
      } else if (character === '"') {
        this.#isInString = true;
      } else if (character === '{') {
        this.#depth++;
      } else if (character === '}' && --this.#depth === 0) {
        return this.#position + 1;
      }
    }
    return null;
  }
}
