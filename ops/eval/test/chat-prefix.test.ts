/** Prefixes of chats with the template and the vocabulary of the default model: what later requests begin with. */
import { beforeAll, describe, expect, it } from 'vitest';
import { chatPrefix, textPrefix } from '../../../worker/tokenizer/prompt-prefix.ts';
import type { ChatMessage } from '../../../worker/tokenizer/chat-template.ts';
import type { TextModel } from '../../../worker/tokenizer/text-model.ts';
import { readGolden } from '../golden.ts';
import { readTextModel } from '../prepare.ts';
import { prepareDefaultModel } from './default-model.ts';

let text: TextModel;
let prefixOf: (messages: readonly ChatMessage[]) => readonly number[];
beforeAll(async () => {
  const { modelSha256 } = await readGolden('chat-greedy.json');
  text = await readTextModel((await prepareDefaultModel(modelSha256)).convertedFolder);
  prefixOf = (messages) => {
    const encoded = chatPrefix(text.encodeChat, messages, 8192);
    return encoded.ok ? encoded.tokens : [];
  };
});

const SYSTEM: ChatMessage = { role: 'system', content: 'You sell shoes. Sizes run from 35 to 47.' };
const USER: ChatMessage = { role: 'user', content: 'Do you have boots?' };
const ASSISTANT: ChatMessage = { role: 'assistant', content: 'We do.\n' };

/** The tokens of a whole request. */
function promptOf(messages: readonly ChatMessage[]): readonly number[] {
  const encoded = text.encodeChat(messages, 8192);
  return encoded.ok ? encoded.tokens : [];
}

describe('the prefix of a chat', () => {
  it.each<[string, readonly ChatMessage[]]>([
    ['a system message', [SYSTEM]],
    ['a question', [USER]],
    ['a question and its answer', [SYSTEM, USER, ASSISTANT]],
  ])('is what every chat begins with that goes on from %s', (_name, messages) => {
    const prefix = prefixOf(messages);
    const nextTexts = ['And sandals?', ' x', '\n\nNo', '12', '…', '<|im_end|>'];
    for (const content of nextTexts) {
      for (const role of ['user', 'assistant'] as const) {
        expect(promptOf([...messages, { role, content }]).slice(0, prefix.length)).toEqual(prefix);
      }
    }
    expect(promptOf(messages).slice(0, prefix.length)).toEqual(prefix);
    // No more is left out than the end of the line behind the last message.
    expect(prefix.length).toBeGreaterThanOrEqual(promptOf(messages).length - 4);
  });

  it('has the system message that the template puts in front', () => {
    expect(prefixOf([USER])).not.toEqual(prefixOf([{ role: 'system', content: '' }, USER]));
  });
});

describe('the prefix of a text', () => {
  it.each(['The sea is blue', 'The sea is ', 'naïve cafés, 12', 'a\n', '天気がいい', 'blue'])(
    'does not depend on what follows: %j',
    (start) => {
      const encode = (whole: string): readonly number[] => text.tokenizer.encode(whole);
      const prefix = textPrefix(encode, start);
      expect(prefix.length).toBeGreaterThanOrEqual(start.includes(' ') ? encode(start).length - 3 : 0);
      for (const more of ['s', ' and', '3', '\n', ', x', 'ly', '’s', 'berries']) {
        expect(encode(start + more).slice(0, prefix.length)).toEqual(prefix);
      }
    },
  );
});
