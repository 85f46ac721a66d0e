/**
 * The alphabet of byte-level BPE vocabularies: each byte is written as one printable character, so that a token of any
 * bytes is a string (`bytes_to_unicode` of GPT-2's encoder.py). Printable Latin-1 stands for itself; the other bytes, in
 * order, are U+0100 and up.
 */
const FIRST_SUBSTITUTE = 0x100;

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = (() => {
  const byteOfCharacter = new Map<string, number>();
  let substitute = FIRST_SUBSTITUTE;
  for (let byte = 0; byte < 256; byte++) {
    byteOfCharacter.set(String.fromCharCode(isPrintable(byte) ? byte : substitute++), byte);
  }
  return byteOfCharacter;
})();

/** Bytes that a vocabulary entry stands for, or null when it has a character outside the alphabet. */
export function byteLevelToBytes(token: string): Uint8Array | null {
  const bytes = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index++) {
    const byte = BYTE_OF_CHARACTER.get(token.charAt(index));
    if (byte === undefined) {
      return null;
    }
    bytes[index] = byte;
  }
  return bytes;
}
