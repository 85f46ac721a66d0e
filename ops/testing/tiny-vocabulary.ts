/**
 * A byte-level BPE vocabulary of exactly 300 tokens for tiny test models: 3 control tokens, the 256 bytes and 41 merges.
 * 300 is not a multiple of 8, so that the padding of weight tiles is exercised.
 */

export const TINY_CONTROL_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'] as const;

/** Frequent English pairs, in merge order; `Ġ` stands for a space, as in every GPT-2 vocabulary. */
// prettier-ignore
const MERGES = [
  'Ġ t', 'Ġ a', 'h e', 'i n', 'r e', 'Ġt he', 'o n', 'e r', 'Ġ s', 'Ġ w', 'l l', 'o u', 'Ġ o', 'Ġ c', 'a n', 'e d', 'i t', 'i s',
  'in g', 'o r', 'e s', 'a t', 'e n', 'a r', 'Ġt o', 'Ġa n', 'Ġan d', 'Ġo f', 'Ġ m', 'Ġ p', 'Ġ b', 'Ġ d', 'Ġ in', 'Ġ is', 'Ġ h',
  'l e', 'o m', 'Ġ l', 'Ġ y', 'Ġy ou', 'u s',
];

/**
 * The printable character that stands for each byte: bytes that are printable in Latin-1 stand for themselves, the others
 * get the characters from U+0100 on, in byte order (`bytes_to_unicode` of GPT-2's encoder.py).
 */
function byteCharacters(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

export interface TinyVocabulary {
  readonly tokens: readonly string[];
  readonly merges: readonly string[];
  /** ggml's token types: 1 is a normal token, 3 a control token. */
  readonly tokenTypes: readonly number[];
  readonly endOfTextId: number;
  readonly imEndId: number;
}

const NORMAL_TOKEN = 1;
const CONTROL_TOKEN = 3;

export function tinyVocabulary(): TinyVocabulary {
  const normal = [...byteCharacters(), ...MERGES.map((merge) => merge.replace(' ', ''))];
  const tokens = [...TINY_CONTROL_TOKENS, ...normal];
  return {
    tokens,
    merges: MERGES,
    tokenTypes: tokens.map((_, id) => (id < TINY_CONTROL_TOKENS.length ? CONTROL_TOKEN : NORMAL_TOKEN)),
    endOfTextId: tokens.indexOf('<|endoftext|>'),
    imEndId: tokens.indexOf('<|im_end|>'),
  };
}

/** ChatML, without a default system message. */
export const TINY_CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
