/** chat.json: where the template, the special tokens and the ends of an answer come from. */
import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../testing/tiny-model.ts';
import { ConvertError } from '../convert-error.ts';
import { chatConfig, type ChatParts } from '../tokenizer/chat.ts';
import { readHuggingFaceTokenizer, type TokenizerFiles } from '../tokenizer/hugging-face-tokenizer.ts';

const TOKENS = ['a', '<|begin|>', '<|eot_id|>', '<|im_end|>', '<tool>', '<|end_of_text|>'];

const parts: ChatParts = {
  chatTemplate: null,
  bosTokenId: 1,
  eosTokenIds: [5],
  addBosToken: true,
  controlTokenIds: new Set([1, 2, 4, 5]),
  tokenOf: (id) => TOKENS[id],
  tokenIdMax: TOKENS.length - 1,
};

describe('chatConfig', () => {
  it('ends an answer at what the source names and at every known end token that is a control token', () => {
    // <|im_end|> is in the vocabulary, but as ordinary text.
    expect(chatConfig(parts, tinyConfig())).toEqual({
      chatTemplate: null,
      bosToken: '<|begin|>',
      eosToken: '<|end_of_text|>',
      addBosToken: true,
      stopTokenIds: [2, 5],
      vocabSize: 300,
      contextLengthMax: 512,
    });
  });

  it('names every end once, in order', () => {
    expect(chatConfig({ ...parts, eosTokenIds: [5, 4, 2, 5] }, tinyConfig()).stopTokenIds).toEqual([2, 4, 5]);
  });

  it.each([
    ['a beginning that is missing', { bosTokenId: null }],
    ['a beginning outside of the vocabulary', { bosTokenId: 99 }],
    ['an end outside of the vocabulary', { eosTokenIds: [5, 99] }],
    ['no end', { eosTokenIds: [], controlTokenIds: new Set<number>() }],
    ['more tokens than the embedding has rows', { tokenIdMax: 300 }],
  ])('refuses %s', (_name, change) => {
    expect(() => chatConfig({ ...parts, ...change }, tinyConfig())).toThrow(ConvertError);
  });
});

describe('readHuggingFaceTokenizer', () => {
  const template = (id: string) => ({ type: 'TemplateProcessing', single: [{ SpecialToken: { id } }] });
  const tokenizer = {
    added_tokens: [1, 2, 3].map((id) => ({ id, content: TOKENS[id], special: id !== 3 })),
    decoder: { type: 'Sequence', decoders: [{ type: 'ByteLevel' }] },
    model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
  };

  interface Case {
    readonly tokenizer?: object;
    readonly config?: object;
    readonly modelConfig?: Readonly<Record<string, unknown>>;
    readonly generation?: object;
    readonly chatTemplate?: string;
  }

  function read(input: Case): ChatParts {
    const files: TokenizerFiles = {
      tokenizer: JSON.stringify({ ...tokenizer, ...input.tokenizer }),
      tokenizerConfig: input.config === undefined ? null : JSON.stringify(input.config),
      generationConfig: input.generation === undefined ? null : JSON.stringify(input.generation),
      chatTemplate: input.chatTemplate ?? null,
    };
    return readHuggingFaceTokenizer(files, input.modelConfig ?? {});
  }

  it('takes special tokens by text or by object, else by id', () => {
    const config = { bos_token: '<|begin|>', eos_token: { content: '<|eot_id|>' } };
    expect(read({ config })).toMatchObject({ bosTokenId: 1, eosTokenIds: [2] });
    expect(read({ modelConfig: { bos_token_id: 1, eos_token_id: [2, 3] } })).toMatchObject({
      bosTokenId: 1,
      eosTokenIds: [2, 3],
    });
    expect(read({ config, generation: { eos_token_id: 3 } }).eosTokenIds).toEqual([2, 3]);
    expect(read({})).toMatchObject({ bosTokenId: null, eosTokenIds: [], tokenIdMax: 3 });
  });

  it('tells control tokens from others', () => {
    expect(read({}).controlTokenIds).toEqual(new Set([1, 2]));
  });

  it.each<[expected: boolean, input: Case]>([
    [true, { config: { bos_token: '<|begin|>', add_bos_token: true } }],
    [
      false,
      {
        config: { bos_token: '<|begin|>', add_bos_token: false },
        tokenizer: { post_processor: template('<|begin|>') },
      },
    ],
    [true, { config: { bos_token: '<|begin|>' }, tokenizer: { post_processor: template('<|begin|>') } }],
    [
      true,
      {
        config: { bos_token: '<|begin|>' },
        tokenizer: { post_processor: { type: 'Sequence', processors: [{ type: 'ByteLevel' }, template('<|begin|>')] } },
      },
    ],
    [false, { config: { bos_token: '<|begin|>' }, tokenizer: { post_processor: template('<|eot_id|>') } }],
    [false, { config: { bos_token: '<|begin|>' } }],
    [false, { tokenizer: { post_processor: template('<|begin|>') } }],
  ])('adds the beginning of text: %s', (expected, input) => {
    expect(read(input).addBosToken).toBe(expected);
  });

  it('takes the chat template from the newest place that has one', () => {
    const named = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'chat' },
    ];
    expect(read({}).chatTemplate).toBeNull();
    expect(read({ config: { chat_template: 'old' } }).chatTemplate).toBe('old');
    expect(read({ config: { chat_template: named } }).chatTemplate).toBe('chat');
    expect(read({ config: { chat_template: named.slice(0, 1) } }).chatTemplate).toBeNull();
    expect(read({ config: { chat_template: 'old' }, chatTemplate: 'file' }).chatTemplate).toBe('file');
  });

  it('refuses JSON nested deeper than any stack', () => {
    const nested = `{"model":{"type":"BPE","vocab":{}},"decoder":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    const files = { tokenizer: nested, tokenizerConfig: null, generationConfig: null, chatTemplate: null };
    expect(() => readHuggingFaceTokenizer(files, {})).toThrow(ConvertError);
  });
});
