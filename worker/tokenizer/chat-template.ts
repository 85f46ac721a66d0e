/** Messages to prompt tokens, through the model's own Jinja template. */
import { Template } from '@huggingface/jinja';
import type { ChatConfig } from './chat-config.ts';
import { SpecialText } from './special-text.ts';
import type { TextTokenizer } from './text-tokenizer.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export type ChatPromptResult =
  | { readonly ok: true; readonly tokens: readonly number[] }
  | { readonly ok: false; readonly reason: 'no_template' }
  | { readonly ok: false; readonly reason: 'too_long'; readonly numTokensAtLeast: number }
  | { readonly ok: false; readonly reason: 'refused_by_template'; readonly message: string };

/**
 * @param contextLength longest prompt that is worth tokenising, in tokens.
 * @param isAnswerNext whether the start of the answer is added: true by default.
 */
export type ChatPromptEncoder = (
  messages: readonly ChatMessage[],
  contextLength: number,
  isAnswerNext?: boolean,
) => ChatPromptResult;

/**
 * Prepares the template once; the encoder it returns renders it for a list of messages and adds the start of the answer.
 * @throws Error when the template cannot be parsed.
 */
export function createChatPromptEncoder(config: ChatConfig, tokenizer: TextTokenizer): ChatPromptEncoder {
  if (config.chatTemplate === null) {
    return () => ({ ok: false, reason: 'no_template' });
  }
  const template = new Template(config.chatTemplate);
  return (messages, contextLength, isAnswerNext = true) => {
    const specialText = new SpecialText(tokenizer.specialTokens);
    let rendered: string;
    try {
      rendered = template.render({
        messages: messages.map(({ role, content }) => ({ role, content: specialText.hide(content) })),
        add_generation_prompt: isAnswerNext,
        bos_token: config.bosToken ?? '',
        eos_token: config.eosToken ?? '',
      });
    } catch (error) {
      // Templates refuse what the model was not trained on (`raise_exception`), such as two user turns in a row.
      return {
        ok: false,
        reason: 'refused_by_template',
        message: error instanceof Error ? error.message : String(error),
      };
    }
    const numTokensAtLeast = numTokensLowerBound(rendered, tokenizer);
    if (numTokensAtLeast > contextLength) {
      return { ok: false, reason: 'too_long', numTokensAtLeast };
    }
    return { ok: true, tokens: withBos(config, tokenizer, encodeRendered(rendered, specialText, tokenizer)) };
  };
}

function encodeRendered(rendered: string, specialText: SpecialText, tokenizer: TextTokenizer): number[] {
  const tokens: number[] = [];
  for (const { text, isSpecial } of specialText.split(rendered)) {
    const special = isSpecial ? tokenizer.specialTokens.get(text) : undefined;
    for (const tokenId of special === undefined ? tokenizer.encode(specialText.reveal(text)) : [special]) {
      tokens.push(tokenId);
    }
  }
  return tokens;
}

/**
 * Fewest tokens that `text` can have. Tokenising costs seconds for the longest bodies that are let in, and a prompt that
 * cannot fit is refused by this bound without that work. One character has at least one byte.
 */
export function numTokensLowerBound(text: string, tokenizer: TextTokenizer): number {
  return Math.ceil(text.length / Math.max(tokenizer.longestTokenBytes, longestSpecialToken(tokenizer)));
}

function longestSpecialToken(tokenizer: TextTokenizer): number {
  let longest = 1;
  for (const text of tokenizer.specialTokens.keys()) {
    longest = Math.max(longest, text.length);
  }
  return longest;
}

/** Puts the begin-of-text token in front where the model expects it and the template has not already done so. */
export function withBos(config: ChatConfig, tokenizer: TextTokenizer, tokens: readonly number[]): readonly number[] {
  const bosTokenId = config.bosToken === null ? undefined : tokenizer.specialTokens.get(config.bosToken);
  if (!config.addBosToken || bosTokenId === undefined || tokens[0] === bosTokenId) {
    return tokens;
  }
  return [bosTokenId, ...tokens];
}
