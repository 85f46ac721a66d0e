/** The tokenizer.json that is built from a GGUF file gives the ids that llama.cpp gives for the same file. */
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { TINY_CONTROL_TOKENS, tinyVocabulary } from '../../testing/tiny-vocabulary.ts';
import { GgufMetadata, type MetadataValue } from '../gguf/metadata.ts';
import { readGgufVocabulary } from '../tokenizer/gguf-tokenizer.ts';
import golden from './golden/pre-tokenizers.json' with { type: 'json' };

const CONTROL = 3;
const NORMAL = 1;
const USER_DEFINED = 4;

interface VocabularyInput {
  readonly pre: string;
  readonly tokens: readonly string[];
  readonly merges: readonly string[];
  readonly types: readonly number[];
}

function vocabularyOf({ pre, tokens, merges, types }: VocabularyInput) {
  const vocabulary = readGgufVocabulary(
    new GgufMetadata(
      new Map<string, MetadataValue>([
        ['tokenizer.ggml.model', 'gpt2'],
        ['tokenizer.ggml.pre', pre],
        ['tokenizer.ggml.tokens', tokens],
        ['tokenizer.ggml.merges', merges],
        ['tokenizer.ggml.token_type', types],
      ]),
    ),
  );
  const json = JSON.parse(vocabulary.tokenizerJson) as object;
  return { ...vocabulary, tokenizer: new Tokenizer(json, { clean_up_tokenization_spaces: false }) };
}

function goldenVocabulary(pre: string) {
  const numControlTokens = golden.tokens.findIndex((token) => !token.startsWith('<|'));
  const types = golden.tokens.map((_, id) => (id < numControlTokens ? CONTROL : NORMAL));
  return vocabularyOf({ pre, tokens: golden.tokens, merges: golden.merges, types });
}

describe.each(Object.entries(golden.ids))('pre-tokenizer %s', (pre, allIds) => {
  const { tokenizer } = goldenVocabulary(pre);
  // Qwen's own tokenizer composes characters first, which llama.cpp leaves out: compare what both see alike.
  const cases = golden.texts
    .map((text, i) => [text, allIds[i] ?? []] as const)
    .filter(([text]) => pre !== 'qwen2' || text === text.normalize('NFC'));
  it.each(cases)('cuts %j as llama.cpp does', (text, ids) => {
    expect(tokenizer.encode(text, { add_special_tokens: false }).ids).toEqual(ids);
  });

  it('gives every text back', () => {
    for (const [i, ids] of allIds.entries()) {
      expect(tokenizer.decode(ids)).toBe(golden.texts[i]);
    }
  });
});

it('tells the pre-tokenizers apart by these texts', () => {
  const distinct = new Set(Object.values(golden.ids).map((ids) => JSON.stringify(ids)));
  // smollm and starcoder are two names of one recipe.
  expect(distinct.size).toBe(Object.keys(golden.ids).length - 1);
});

describe('special tokens', () => {
  const { tokens, merges, tokenTypes } = tinyVocabulary();

  it('are found in text and marked as special', () => {
    const { tokenizer, controlTokenIds } = vocabularyOf({ pre: 'smollm', tokens, merges, types: tokenTypes });
    expect([...controlTokenIds]).toEqual([0, 1, 2]);
    const { ids } = tokenizer.encode('the<|im_end|>', { add_special_tokens: false });
    expect(ids.at(-1)).toBe(tokens.indexOf('<|im_end|>'));
    expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe('the');
  });

  it('are no part of the vocabulary that merges produce', () => {
    const { tokenizerJson } = vocabularyOf({ pre: 'llama-bpe', tokens, merges, types: tokenTypes });
    const { model } = JSON.parse(tokenizerJson) as { model: { vocab: Record<string, number> } };
    for (const token of TINY_CONTROL_TOKENS) {
      expect(model.vocab).not.toHaveProperty([token]);
    }
    expect(Object.keys(model.vocab)).toHaveLength(tokens.length - TINY_CONTROL_TOKENS.length);
  });

  it('that the user defined are found in text, but are ordinary output', () => {
    const { tokenizer, controlTokenIds } = vocabularyOf({
      pre: 'smollm',
      tokens: [...tokens, '[tool]'],
      merges,
      types: [...tokenTypes, USER_DEFINED],
    });
    const { ids } = tokenizer.encode('[tool]', { add_special_tokens: false });
    expect(ids).toEqual([tokens.length]);
    expect(controlTokenIds.has(tokens.length)).toBe(false);
    expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe('[tool]');
  });
});

it('composes characters for qwen2 before anything else', () => {
  const { tokenizer } = goldenVocabulary('qwen2');
  expect(tokenizer.encode('e\u0301').ids).toEqual(tokenizer.encode('\u00e9').ids);
});

it('keeps a token with the name of an object’s prototype', () => {
  const { tokens, merges, tokenTypes } = tinyVocabulary();
  const types = [...tokenTypes, NORMAL];
  const { tokenizerJson } = vocabularyOf({ pre: 'smollm', tokens: [...tokens, '__proto__'], merges, types });
  expect(tokenizerJson).toContain(`"__proto__":${tokens.length}`);
});
