/**
 * A text's pieces of words, counted in a few columns (Weinberger et al., "Feature Hashing for Large Scale Multitask
 * Learning", 2009). Hidden states tell what a text means; how it is written tells names and terms apart that mean the same
 * to a small model, and survives its typing errors.
 */

/** Characters of a piece. Words are taken with a space on either side, so beginnings and ends are pieces of their own. */
const PIECE_LENGTH_MIN = 3;
const PIECE_LENGTH_MAX = 5;

/** FNV-1a, then the last step of MurmurHash3, since the low bits of the former are poor. */
const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * Adds 1 or -1 to the column of each piece; the sign, a bit of the hash, makes collisions cancel on average.
 * @param columns whole numbers `[any size]`, of the text so far
 */
export function addHashedNgrams(text: string, columns: Float32Array): void {
  for (const word of text.toLowerCase().split(/\s+/u)) {
    if (word !== '') {
      addPieces(` ${word} `, columns);
    }
  }
}

function addPieces(word: string, columns: Float32Array): void {
  for (let length = PIECE_LENGTH_MIN; length <= PIECE_LENGTH_MAX && length <= word.length; length++) {
    for (let start = 0; start + length <= word.length; start++) {
      const hash = hashOf(word, start, start + length);
      const column = (hash >>> 1) % columns.length;
      columns[column] = (columns[column] ?? 0) + ((hash & 1) === 0 ? 1 : -1);
    }
  }
}

/** Of UTF-16 units, 32 bits. */
function hashOf(text: string, start: number, end: number): number {
  let hash = FNV_BASIS;
  for (let at = start; at < end; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
