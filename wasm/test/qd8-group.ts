/** Where the parts of a token's group lie in qd8 matrices, as `layout.ts` describes it. */
import {
  QD8_GROUP_BYTES,
  QD8_SCALE_OFFSET,
  QD8_SPLIT_GROUP_BYTES,
  QD8_SPLIT_NEGATIVES_OFFSET,
  QD8_SPLIT_QUAD_BYTES,
  QD8_SPLIT_SCALE_OFFSET,
  QD8_SPLIT_SIGNS_OFFSET,
  QD8_SPLIT_TILE_GROUP_BYTES,
  QD8_SPLIT_TILE_NEGATIVES_OFFSET,
  QD8_SPLIT_TILE_QUAD_BYTES,
  QD8_SPLIT_TILE_SCALES_OFFSET,
  QD8_SPLIT_TILE_SIGNS_OFFSET,
  QD8_SUM_OFFSET,
  QD8_TILE_GROUP_BYTES,
  QD8_TILE_QUAD_BYTES,
  QD8_TILE_SCALES_OFFSET,
  QD8_TILE_SUMS_OFFSET,
  F32_BYTES,
  QUAD_COLS,
  TOKEN_TILE,
} from '../assembly/layout.ts';

/** Offsets in bytes from the start of the matrix. */
export interface Qd8Group {
  readonly quadAt: (quad: number) => number;
  readonly scaleAt: number;
  readonly sumAt: number;
}

export function qd8Group(token: number, numTokens: number, group: number, numGroups: number): Qd8Group {
  const tile = Math.floor(token / TOKEN_TILE);
  const lane = token % TOKEN_TILE;
  if (tile < Math.floor(numTokens / TOKEN_TILE)) {
    const at = (tile * numGroups + group) * QD8_TILE_GROUP_BYTES;
    return {
      quadAt: (quad) => at + quad * QD8_TILE_QUAD_BYTES + lane * QUAD_COLS,
      scaleAt: at + QD8_TILE_SCALES_OFFSET + lane * F32_BYTES,
      sumAt: at + QD8_TILE_SUMS_OFFSET + lane * F32_BYTES,
    };
  }
  const at = (token * numGroups + group) * QD8_GROUP_BYTES;
  return { quadAt: (quad) => at + quad * QUAD_COLS, scaleAt: at + QD8_SCALE_OFFSET, sumAt: at + QD8_SUM_OFFSET };
}

export interface Qd8SplitGroup {
  /** Of a column's magnitude; its sign is `signsOffset` further. */
  readonly magnitudeAt: (col: number) => number;
  readonly signsOffset: number;
  readonly scaleAt: number;
  readonly negativesAt: number;
}

/** The same for sign-split qd8. */
export function qd8SplitGroup(token: number, numTokens: number, group: number, numGroups: number): Qd8SplitGroup {
  const tile = Math.floor(token / TOKEN_TILE);
  const lane = token % TOKEN_TILE;
  if (tile < Math.floor(numTokens / TOKEN_TILE)) {
    const at = (tile * numGroups + group) * QD8_SPLIT_TILE_GROUP_BYTES;
    return {
      magnitudeAt: (col) => at + quadOf(col) * QD8_SPLIT_TILE_QUAD_BYTES + lane * QUAD_COLS + (col % QUAD_COLS),
      signsOffset: QD8_SPLIT_TILE_SIGNS_OFFSET,
      scaleAt: at + QD8_SPLIT_TILE_SCALES_OFFSET + lane * F32_BYTES,
      negativesAt: at + QD8_SPLIT_TILE_NEGATIVES_OFFSET + lane * F32_BYTES,
    };
  }
  const at = (token * numGroups + group) * QD8_SPLIT_GROUP_BYTES;
  return {
    magnitudeAt: (col) => at + quadOf(col) * QD8_SPLIT_QUAD_BYTES + (col % QUAD_COLS),
    signsOffset: QD8_SPLIT_SIGNS_OFFSET,
    scaleAt: at + QD8_SPLIT_SCALE_OFFSET,
    negativesAt: at + QD8_SPLIT_NEGATIVES_OFFSET,
  };
}

function quadOf(col: number): number {
  return Math.floor(col / QUAD_COLS);
}
