/** Our tokenizer against llama.cpp's, on naughty strings. */
import { beforeAll, describe, expect, it } from 'vitest';
import { detokenize } from '../../../worker/tokenizer/detokenizer.ts';
import type { TextTokenizer } from '../../../worker/tokenizer/text-tokenizer.ts';
import { SHORT_TEXT_TOKENS, shortText, SYSTEM_TEXT_TOKENS, systemText } from '../../bench/classify/texts.ts';
import { type GoldenTokens, readGolden } from '../golden.ts';
import { readTextModel } from '../prepare.ts';
import { prepareDefaultModel } from './default-model.ts';

const SHOWN_CHARS = 80;

let golden: GoldenTokens;
let tokenizer: TextTokenizer;
let vocabSize: number;

beforeAll(async () => {
  golden = await readGolden('blns-tokens.json');
  const model = await prepareDefaultModel(golden.modelSha256);
  const text = await readTextModel(model.convertedFolder);
  tokenizer = text.tokenizer;
  vocabSize = text.config.vocabSize;
});

/** Enough of a string to find it by. */
const shown = (text: string): string => text.slice(0, SHOWN_CHARS);

/** The text without the characters some of whose bytes the vocabulary has no token for: those are lost on the way in. */
function representable(text: string): string {
  const known = new Set<number>();
  for (let id = 0; id < vocabSize; id += 1) {
    const bytes = tokenizer.tokenBytes(id);
    if (bytes.length === 1) {
      known.add(bytes[0] ?? 0);
    }
  }
  const encoder = new TextEncoder();
  return Array.from(text)
    .filter((character) => encoder.encode(character).every((byte) => known.has(byte)))
    .join('');
}

describe('tokenizer of the default model', () => {
  it('gives the ids of llama.cpp for every string', () => {
    expect(golden.cases.length).toBeGreaterThan(500);
    const differing = golden.cases.filter(({ text, ids }) => tokenizer.encode(text).join() !== ids.join());
    expect(differing.map(({ text }) => shown(text))).toEqual([]);
  });

  it('gives the texts of the bench of classification the lengths that it speaks of', () => {
    const lengths = (textOf: (seed: number) => string): number[] => [
      ...new Set(Array.from({ length: 300 }, (_, seed) => tokenizer.encode(textOf(seed)).length)),
    ];
    expect(lengths(shortText)).toEqual([SHORT_TEXT_TOKENS]);
    expect(lengths(systemText)).toEqual([SYSTEM_TEXT_TOKENS]);
  });

  it('gives the string back', () => {
    const differing = golden.cases.filter(({ text, ids }) => detokenize(tokenizer, ids) !== representable(text));
    expect(differing.map(({ text }) => shown(text))).toEqual([]);
  });

  it('loses characters in one string only, which has control characters that the vocabulary lacks', () => {
    const lossy = golden.cases.filter(({ text }) => representable(text) !== text);
    expect(lossy).toHaveLength(1);
    expect(lossy[0]?.text).toContain('\u0004');
  });
});
