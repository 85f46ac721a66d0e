/**
 * How each pre-tokenizer that a GGUF file can name cuts text before byte pairs are merged. The regular expressions are
 * those of llama.cpp (`llm_tokenizer_bpe` in llama-vocab.cpp). All cuts are written as `Split` steps with an explicit
 * expression, never as `Digits` or `ByteLevel` with its built-in one: those differ between tokenizer libraries in what
 * counts as a digit or as white space outside ASCII.
 */
import { ConvertError } from '../convert-error.ts';
import { shown } from '../json.ts';

export interface PreTokenizerRecipe {
  /** Applied one after the other, each to the pieces that the one before left. */
  readonly splits: readonly string[];
  /** Unicode normalisation of the text before everything else, as in the model's original tokenizer. */
  readonly normalizer: 'NFC' | null;
  /** Whether a piece that is a token as a whole is taken as it is, without merging. */
  readonly ignoreMerges: boolean;
}

const GPT2_SPLIT = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const CONTRACTIONS = String.raw`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`;
const WORDS = String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`;
const SYMBOLS_AND_SPACE = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const GPT2: PreTokenizerRecipe = { splits: [GPT2_SPLIT], normalizer: null, ignoreMerges: false };
const SINGLE_DIGITS: PreTokenizerRecipe = {
  splits: [String.raw`\p{N}`, GPT2_SPLIT],
  normalizer: null,
  ignoreMerges: false,
};
const LLAMA3: PreTokenizerRecipe = {
  splits: [String.raw`${CONTRACTIONS}|${WORDS}|\p{N}{1,3}|${SYMBOLS_AND_SPACE}`],
  normalizer: null,
  ignoreMerges: true,
};
const QWEN2: PreTokenizerRecipe = {
  splits: [String.raw`${CONTRACTIONS}|${WORDS}|\p{N}|${SYMBOLS_AND_SPACE}`],
  normalizer: 'NFC',
  ignoreMerges: false,
};
const DEFAULT: PreTokenizerRecipe = {
  splits: [String.raw`[\p{P}\$\+<=>\^~\|]+`, GPT2_SPLIT, String.raw`\p{N}+`, '[0-9][0-9][0-9]'],
  normalizer: null,
  ignoreMerges: false,
};

/** By the value of `tokenizer.ggml.pre`. */
const RECIPES: Readonly<Record<string, PreTokenizerRecipe>> = {
  default: DEFAULT,
  'gpt-2': GPT2,
  smollm: SINGLE_DIGITS,
  starcoder: SINGLE_DIGITS,
  refact: SINGLE_DIGITS,
  'command-r': SINGLE_DIGITS,
  qwen2: QWEN2,
  'deepseek-r1-qwen': QWEN2,
  'llama-bpe': LLAMA3,
  llama3: LLAMA3,
  'llama-v3': LLAMA3,
};

/** @throws ConvertError `unsupported-vocabulary`, listing the names that are known. */
export function preTokenizerRecipe(name: string): PreTokenizerRecipe {
  const recipe = Object.hasOwn(RECIPES, name) ? RECIPES[name] : undefined;
  if (recipe === undefined) {
    throw new ConvertError(
      'unsupported-vocabulary',
      `the pre-tokenizer ${shown(name)} is not supported; known are ${Object.keys(RECIPES).join(', ')}`,
    );
  }
  return recipe;
}

/** The `pre_tokenizer` of a `tokenizer.json`. */
export function preTokenizerJson(recipe: PreTokenizerRecipe): object {
  const splits = recipe.splits.map((expression) => ({
    type: 'Split',
    pattern: { Regex: expression },
    behavior: 'Isolated',
    invert: false,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return { type: 'Sequence', pretokenizers: [...splits, byteLevel] };
}
