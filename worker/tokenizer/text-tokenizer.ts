/**
 * Text to token ids and token ids to bytes. Wraps `@huggingface/tokenizers` with two changes that a service needs: no
 * text, whatever it says, becomes a special token, and tokens decode to bytes, not to strings cut at token borders.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import * as z from 'zod';
import { byteLevelToBytes } from './byte-level.ts';

/** The parts of a Hugging Face `tokenizer.json` that are looked at here; the library reads the rest. */
const notSupported = z.literal(false, { error: 'only false is supported' }).nullish();
const tokenizerJsonSchema = z.looseObject({
  added_tokens: z.array(
    z.looseObject({
      id: z.int().nonnegative(),
      content: z.string().min(1),
      special: z.boolean(),
      // These three change the text around a token, which would have to be done again around hidden special text.
      single_word: notSupported,
      lstrip: notSupported,
      rstrip: notSupported,
    }),
  ),
  model: z.looseObject({
    type: z.literal('BPE', { error: 'only BPE vocabularies are supported' }),
    vocab: z.record(z.string(), z.int().nonnegative()),
    unk_token: z.string().nullish(),
    byte_fallback: notSupported,
  }),
  decoder: z.looseObject({ type: z.literal('ByteLevel', { error: 'only byte-level vocabularies are supported' }) }),
});

const NO_BYTES = new Uint8Array(0);

export interface TextTokenizer {
  /** Bytes of the longest token that text can become: a text of `n` bytes has at least `n / longestTokenBytes` tokens. */
  readonly longestTokenBytes: number;
  /** Special tokens by their text, such as `<|im_end|>`. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /**
   * Tokens of a text, with no token in front or behind. Special tokens are never among them: `<|im_end|>` in the text
   * becomes the tokens of its characters. Bytes that the vocabulary has no token for are left out, as llama.cpp does.
   */
  encode(text: string): number[];
  /** Bytes of a token: UTF-8 of the text for a special one, none for an id without a token. */
  tokenBytes(tokenId: number): Uint8Array;
  isSpecial(tokenId: number): boolean;
}

/**
 * @param json the parsed `tokenizer.json`.
 * @throws Error naming the part that is not supported.
 */
export function createTextTokenizer(json: unknown): TextTokenizer {
  const checked = tokenizerJsonSchema.safeParse(json);
  if (!checked.success) {
    throw new Error(`tokenizer.json cannot be used: ${z.prettifyError(checked.error)}`);
  }
  const { added_tokens: addedTokens, model } = checked.data;
  const specialTokens = new Map(addedTokens.filter((token) => token.special).map((token) => [token.content, token.id]));
  const specialIds = new Set(specialTokens.values());
  const textOfId = tableOfIds(model.vocab, addedTokens);
  const literalIds = new Set(addedTokens.map((token) => token.id));
  const library = createLibraryTokenizer(checked.data, specialTokens);
  const bytesOfId: (Uint8Array | undefined)[] = [];

  const tokenBytes = (tokenId: number): Uint8Array => {
    const known = bytesOfId[tokenId];
    if (known !== undefined) {
      return known;
    }
    const text = textOfId[tokenId];
    const literal = (): Uint8Array => new TextEncoder().encode(text);
    const bytes =
      text === undefined ? NO_BYTES : ((literalIds.has(tokenId) ? null : byteLevelToBytes(text)) ?? literal());
    bytesOfId[tokenId] = bytes;
    return bytes;
  };
  return {
    longestTokenBytes: longestToken(textOfId, specialIds),
    specialTokens,
    encode: (text) => (text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids),
    tokenBytes,
    isSpecial: (tokenId) => specialIds.has(tokenId),
  };
}

type TokenizerJson = z.infer<typeof tokenizerJsonSchema>;

/**
 * The library's tokenizer without special tokens. It would match added tokens in any text, and with `ignore_merges` or
 * as the unknown token they could come out of the model too, so they are taken from all three places.
 */
function createLibraryTokenizer(json: TokenizerJson, specialTokens: ReadonlyMap<string, number>): Tokenizer {
  const { unk_token: unknownToken } = json.model;
  const isUnknownSpecial = typeof unknownToken === 'string' && specialTokens.has(unknownToken);
  const library = new Tokenizer(
    {
      ...json,
      added_tokens: json.added_tokens.filter((token) => !token.special),
      post_processor: null,
      decoder: null,
      model: { ...json.model, unk_token: isUnknownSpecial ? null : unknownToken },
    },
    {},
  );
  if (library.model === null) {
    throw new Error('tokenizer.json cannot be used: it has no model');
  }
  for (const content of specialTokens.keys()) {
    library.model.tokens_to_ids.delete(content);
  }
  return library;
}

function tableOfIds(vocab: Readonly<Record<string, number>>, addedTokens: TokenizerJson['added_tokens']): string[] {
  const textOfId: string[] = [];
  for (const [text, id] of Object.entries(vocab)) {
    textOfId[id] = text;
  }
  for (const { id, content } of addedTokens) {
    textOfId[id] = content;
  }
  return textOfId;
}

/** Every character of a byte-level entry is one byte, so its length is its bytes. */
function longestToken(textOfId: readonly string[], specialIds: ReadonlySet<number>): number {
  let longest = 1;
  textOfId.forEach((text, id) => {
    if (!specialIds.has(id)) {
      longest = Math.max(longest, text.length);
    }
  });
  return longest;
}
