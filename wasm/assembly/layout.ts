/**
 * Byte layouts that the kernels and the host agree on. Compiled by asc and by tsc alike, so it holds nothing but
 * `export const` of whole numbers, and every division is exact (asc divides integers, tsc does not).
 */

// Weights: see docs/weights-format.md ================================================================================

/** Weights that share a scale, along the input dimension. */
export const GROUP_COLS = 32;
/** Output rows stored together: two i32x4 accumulators in which each lane is one row. */
export const TILE_ROWS = 8;
/** Consecutive columns that one lane of a dot product takes. */
export const QUAD_COLS = 4;
export const QUADS_PER_GROUP = GROUP_COLS / QUAD_COLS;
export const F16_BYTES = 2;
export const F32_BYTES = 4;
/** The f16 scales (or minima) of the 8 rows of a record. */
export const TILE_F16_BYTES = TILE_ROWS * F16_BYTES;

/** Two rows' nibbles in a byte. */
export const QB4W_QUANTS_BYTES = (TILE_ROWS * GROUP_COLS) / 2;
export const QB4W_QUAD_BYTES = QB4W_QUANTS_BYTES / QUADS_PER_GROUP;
export const QB4W_SCALES_OFFSET = QB4W_QUANTS_BYTES;
export const QB4W_MINIMA_OFFSET = QB4W_SCALES_OFFSET + TILE_F16_BYTES;
export const QB4W_RECORD_BYTES = QB4W_MINIMA_OFFSET + TILE_F16_BYTES;

export const QB8W_QUANTS_BYTES = TILE_ROWS * GROUP_COLS;
export const QB8W_QUAD_BYTES = QB8W_QUANTS_BYTES / QUADS_PER_GROUP;
export const QB8W_SCALES_OFFSET = QB8W_QUANTS_BYTES;
export const QB8W_RECORD_BYTES = QB8W_SCALES_OFFSET + TILE_F16_BYTES;
