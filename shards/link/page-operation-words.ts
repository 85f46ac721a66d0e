/** Page operations, and which of them found nothing, as words of a frame. */
import { assert } from '../../wasm/host/assert.ts';
import { PAGE_KEY_HEX_DIGITS, type PageKey } from '../kv/page-key.ts';
import { checkFrame, FrameError } from './frame.ts';
import type { PageOperation } from './page-operation.ts';

const WORD_BITS = 32;
const WORD_HEX_DIGITS = 8;
/** Kind and page. */
const FIXED_WORDS = 2;
const HASH_WORDS = PAGE_KEY_HEX_DIGITS / WORD_HEX_DIGITS;
const KEY_WORDS = 2 * HASH_WORDS;

const OPERATION_CODES = { copy: 1, save: 2, restore: 3 } as const;

export function pageOperationWords(operations: readonly PageOperation[]): Uint32Array {
  return Uint32Array.from(
    operations.flatMap((operation) => [
      OPERATION_CODES[operation.kind],
      operation.page,
      ...(operation.kind === 'copy' ? [operation.sourcePage] : keyWords(operation.key)),
    ]),
  );
}

/** @throws FrameError when `words` do not begin with so many operations. */
export function decodePageOperations(
  words: Uint32Array,
  numPageOperations: number,
): { readonly pageOperations: PageOperation[]; readonly numWords: number } {
  const pageOperations: PageOperation[] = [];
  let offset = 0;
  for (let i = 0; i < numPageOperations; i++) {
    const code = words[offset];
    const numWords = FIXED_WORDS + (code === OPERATION_CODES.copy ? 1 : KEY_WORDS);
    checkFrame(offset + numWords <= words.length, 'truncated', `page operation ${i} is cut off`);
    pageOperations.push(decodeOperation(words.subarray(offset, offset + numWords), i));
    offset += numWords;
  }
  return { pageOperations, numWords: offset };
}

function decodeOperation(words: Uint32Array, index: number): PageOperation {
  const page = words[1] as number;
  const rest = words.subarray(FIXED_WORDS);
  switch (words[0]) {
    case OPERATION_CODES.copy:
      return { kind: 'copy', page, sourcePage: rest[0] as number };
    case OPERATION_CODES.save:
      return { kind: 'save', page, key: decodeKey(rest) };
    case OPERATION_CODES.restore:
      return { kind: 'restore', page, key: decodeKey(rest) };
    default:
      throw new FrameError('bad_field', `frame: page operation ${index} is of the unknown kind ${words[0]}`);
  }
}

function keyWords({ tenant, hash }: PageKey): number[] {
  return [...hexWords(tenant), ...hexWords(hash)];
}

function hexWords(hex: string): number[] {
  assert(/^[0-9a-f]+$/.test(hex) && hex.length === PAGE_KEY_HEX_DIGITS, `${hex} is no part of a page key`);
  return Array.from({ length: HASH_WORDS }, (_, i) =>
    Number.parseInt(hex.slice(i * WORD_HEX_DIGITS, (i + 1) * WORD_HEX_DIGITS), 16),
  );
}

function decodeKey(words: Uint32Array): PageKey {
  return { tenant: wordsHex(words.subarray(0, HASH_WORDS)), hash: wordsHex(words.subarray(HASH_WORDS)) };
}

function wordsHex(words: Uint32Array): string {
  return Array.from(words, (word) => word.toString(16).padStart(WORD_HEX_DIGITS, '0')).join('');
}

export function numMissingWords(numPageOperations: number): number {
  return Math.ceil(numPageOperations / WORD_BITS);
}

/** One bit for each operation, the first in the lowest bit of the first word. @param words that are still 0 */
export function writeMissing(
  words: Uint32Array,
  offset: number,
  missing: readonly number[],
  numPageOperations: number,
): void {
  for (const index of missing) {
    assert(index < numPageOperations, `operation ${index} of ${numPageOperations} cannot be missing`);
    const at = offset + Math.floor(index / WORD_BITS);
    words[at] = (words[at] as number) | (1 << (index % WORD_BITS));
  }
}

/**
 * @param mayMiss whether an operation can find nothing
 * @returns indices of operations, ascending
 */
export function decodeMissing(
  words: Uint32Array,
  numPageOperations: number,
  mayMiss: (index: number) => boolean,
): number[] {
  const numWords = numMissingWords(numPageOperations);
  checkFrame(numWords <= words.length, 'truncated', 'the bits of missing pages are cut off');
  const missing: number[] = [];
  for (let index = 0; index < numWords * WORD_BITS; index++) {
    const isMissing = ((words[Math.floor(index / WORD_BITS)] as number) >>> (index % WORD_BITS)) & 1;
    if (isMissing === 1) {
      checkFrame(index < numPageOperations && mayMiss(index), 'bad_field', `operation ${index} cannot be missing`);
      missing.push(index);
    }
  }
  return missing;
}
