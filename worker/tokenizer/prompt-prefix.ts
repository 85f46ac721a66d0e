/** The tokens that every prompt begins with that begins with the same text or messages, whatever follows. */
import type { ChatMessage, ChatPromptEncoder, ChatPromptResult } from './chat-template.ts';

/** Texts that differ from their first character on, one of each kind that tokenizers join to what is before. */
const CONTINUATIONS = ['a', 'B', ' a', '0', '.', '\n', '\n\n'] as const;

const ROLES = ['user', 'assistant'] as const;

/**
 * The beginning of all chats that have `messages` first: what their renderings have in common, tried with what may come
 * next. A template may put things in front (a system message of its own), behind (the end of the turn), or refuse an
 * order of roles.
 */
export function chatPrefix(
  encodeChat: ChatPromptEncoder,
  messages: readonly ChatMessage[],
  contextLength: number,
): ChatPromptResult {
  const alone = encodeChat(messages, contextLength, false);
  if (!alone.ok && alone.reason !== 'refused_by_template') {
    return alone;
  }
  const continued = ROLES.flatMap((role) =>
    CONTINUATIONS.map((content) => encodeChat([...messages, { role, content }], Infinity, false)),
  );
  const prompts = [alone, encodeChat(messages, contextLength), ...continued].flatMap((encoded) =>
    encoded.ok ? [encoded.tokens] : [],
  );
  return prompts.length === 0 ? alone : { ok: true, tokens: commonPrefix(prompts) };
}

/** How much of a text without spaces is taken for its last word. */
const WORD_LENGTH_MAX = 32;

/**
 * The beginning of all prompts that have `text` first. What follows may be joined to its last word, so that is left out.
 * @param encode a whole prompt.
 */
export function textPrefix(encode: (text: string) => readonly number[], text: string): readonly number[] {
  const wordStart = Math.max(text.search(/\s*\S*$/), text.length - WORD_LENGTH_MAX);
  const continued = CONTINUATIONS.map((continuation) => text + continuation);
  return commonPrefix([text, text.slice(0, wordStart).toWellFormed(), ...continued].map(encode));
}

/** @param lists at least one. */
function commonPrefix(lists: readonly (readonly number[])[]): readonly number[] {
  const [first = [], ...others] = lists;
  const length = others.reduce((shortest, list) => {
    const difference = first.findIndex((tokenId, position) => list[position] !== tokenId);
    return difference < 0 ? shortest : Math.min(shortest, difference);
  }, first.length);
  return first.slice(0, length);
}
