/** Builds `tokenizer.json` (Hugging Face's format) from the vocabulary in a GGUF file. */
import { ConvertError } from '../convert-error.ts';
import { shown } from '../json.ts';
import type { GgufMetadata } from '../gguf/metadata.ts';
import { preTokenizerJson, preTokenizerRecipe } from './pre-tokenizers.ts';

/** ggml's token types (`llama_token_type`). */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const;

export interface Vocabulary {
  readonly tokens: readonly string[];
  /** Ids of the tokens that text never produces: `<|im_end|>` and the like. */
  readonly controlTokenIds: ReadonlySet<number>;
  /** Text of `tokenizer.json`. */
  readonly tokenizerJson: string;
}

/** @throws ConvertError for any vocabulary other than byte-level BPE with a known pre-tokenizer. */
export function readGgufVocabulary(metadata: GgufMetadata): Vocabulary {
  const model = metadata.string('tokenizer.ggml.model');
  if (model !== 'gpt2') {
    throw new ConvertError(
      'unsupported-vocabulary',
      `the vocabulary type ${shown(model)} is not supported; use a model with a byte-level BPE vocabulary ("gpt2")`,
    );
  }
  if (metadata.optionalBoolean('tokenizer.ggml.add_space_prefix') === true) {
    throw new ConvertError(
      'unsupported-vocabulary',
      'the vocabulary wants a space before every text, which is not supported',
    );
  }
  const recipe = preTokenizerRecipe(metadata.string('tokenizer.ggml.pre'));
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  const types = tokenTypes(metadata, tokens.length);
  const idOf = tokenIds(tokens);
  const added = tokens.flatMap((content, id) => addedToken(content, id, types[id] ?? TOKEN_TYPE.normal));
  const addedIds = new Set(added.map(({ id }) => id));
  // Without a prototype, so that a token called "__proto__" is an entry like any other.
  const vocab = Object.create(null) as Record<string, number>;
  tokens.forEach((token, id) => {
    if (!addedIds.has(id)) {
      vocab[token] = id;
    }
  });
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: recipe.normalizer === null ? null : { type: recipe.normalizer },
    pre_tokenizer: preTokenizerJson(recipe),
    // The gateway puts the beginning-of-text token in front itself: see `addBosToken` in chat.json.
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: recipe.ignoreMerges,
      vocab,
      merges: readMerges(metadata, idOf),
    },
  };
  const controlTokenIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
  return { tokens, controlTokenIds, tokenizerJson: JSON.stringify(tokenizer) };
}

function tokenTypes(metadata: GgufMetadata, numTokens: number): readonly number[] {
  const types = metadata.integers('tokenizer.ggml.token_type');
  if (types.length !== numTokens) {
    throw new ConvertError('invalid-metadata', `the file has ${numTokens} tokens, but types of ${types.length}`);
  }
  return types;
}

function tokenIds(tokens: readonly string[]): Map<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    const first = ids.get(token);
    if (first !== undefined || token === '') {
      throw new ConvertError(
        'invalid-metadata',
        `token ${id}, ${shown(token)}, is empty or the same as token ${first ?? '-'}`,
      );
    }
    ids.set(token, id);
  });
  return ids;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: false;
  readonly lstrip: false;
  readonly rstrip: false;
  readonly normalized: false;
  readonly special: boolean;
}

/** Added tokens are found in text before anything else; the special ones only where the caller allows it. */
function addedToken(content: string, id: number, type: number): AddedToken[] {
  switch (type) {
    case TOKEN_TYPE.normal:
    case TOKEN_TYPE.unused:
      return [];
    case TOKEN_TYPE.control:
    case TOKEN_TYPE.unknown:
    case TOKEN_TYPE.userDefined:
      return [
        {
          id,
          content,
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
          special: type !== TOKEN_TYPE.userDefined,
        },
      ];
    default:
      throw new ConvertError(
        'unsupported-vocabulary',
        `token ${id}, ${shown(content)}, has the type ${type}, which a byte-level BPE vocabulary does not have`,
      );
  }
}

/** Merges as pairs: `["a", "b"]` says where one part ends even when a part holds a space. */
function readMerges(metadata: GgufMetadata, idOf: ReadonlyMap<string, number>): [string, string][] {
  return metadata.strings('tokenizer.ggml.merges').map((merge, rank) => {
    // The first part may itself begin with a space, so the separator is looked for behind its first character.
    const separator = merge.indexOf(' ', 1);
    const left = merge.slice(0, separator);
    const right = merge.slice(separator + 1);
    if (separator < 0 || !idOf.has(left) || !idOf.has(right) || !idOf.has(left + right)) {
      throw new ConvertError(
        'invalid-metadata',
        `merge ${rank}, ${shown(merge)}, does not join two tokens into a third one`,
      );
    }
    return [left, right];
  });
}
