/** Two quants of qb4w in a byte: one in the low bits, one in the high. */

export const NIBBLE_BITS: i32 = 4;
export const NIBBLE_MASK: i32 = 0x0f;
/** In memory, for a reason given in `exp.ts`. */
const maskInMemory = memory.data<u8>([0x0f]);

/** Loaded once before a loop. */
export function loadNibbleMask(): v128 {
  return v128.load8_splat(maskInMemory);
}
