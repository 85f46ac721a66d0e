/**
 * The reference quantisers: the only code that decides how float weights become quants. Frozen: a change here changes the
 * bytes of every requantised model, so it comes with a new `CONVERTER_VERSION`. Only `+ - * /`, comparisons and rounding
 * are used, which IEEE 754 fixes, so the same input gives the same bytes on every machine.
 */
import { f32ToF16 } from '../../../wasm/host/f16.ts';
import { GROUP_SIZE } from '../../../wasm/host/model-config.ts';
import { F16_VALUES } from './f16-table.ts';

const QB4W_QUANT_MAX = 15;
const QB8W_QUANT_MAX = 127;
const F16_MAX = 65504;

/**
 * Starting points of the search: the group's range is divided by 15 plus each of these. Dividing by more than 15 clips
 * nothing and wastes a quant; by less clips the extremes, which pays when they are outliers. The least-squares steps move
 * on from there.
 */
const RANGE_DIVISOR_OFFSETS = [0, -1.5, -3, -5, 0.6] as const;

/** Rounds of "assign quants, then fit scale and minimum to them"; later rounds hardly change the error any more. */
const NUM_REFITS = 3;

/** Where a quantised group goes. `group` indexes `scales` and `minima`; quants start at `group * GROUP_SIZE`. */
export interface Qb4wOutput {
  readonly quants: Uint8Array;
  /** f16 bits. */
  readonly scales: Uint16Array;
  /** f16 bits. */
  readonly minima: Uint16Array;
}

export interface Qb8wOutput {
  readonly quants: Int8Array;
  /** f16 bits. */
  readonly scales: Uint16Array;
}

/**
 * Quantises `weights` (whole groups of 32) as `w ≈ q · scale + minimum` with q in 0..15, minimising the squared error of
 * each group. Several candidate ranges are refined by alternating assignment and least squares, then rounded to f16, and
 * the best *after* rounding wins. The idea is that of `make_qkx2_quants` in ggml-quants.c, with a free sign of the minimum.
 * @returns index of the first weight that is not finite or too large for f16, or -1.
 */
export function quantizeQb4w(weights: Float32Array, out: Qb4wOutput): number {
  const fit = { scale: 0, minimum: 0 };
  for (let start = 0, group = 0; start < weights.length; start += GROUP_SIZE, group++) {
    const bad = firstUnrepresentable(weights, start);
    if (bad >= 0) {
      return bad;
    }
    searchGroup(weights, start, fit);
    out.scales[group] = f32ToF16(fit.scale);
    out.minima[group] = f32ToF16(fit.minimum);
    for (let i = start; i < start + GROUP_SIZE; i++) {
      out.quants[i] = nearestQuant(weights[i] ?? 0, fit.scale, fit.minimum);
    }
  }
  return -1;
}

/**
 * Quantises as `w ≈ q · scale` with q in -127..127 and the scale of ggml's Q8_0: the largest magnitude becomes ±127.
 * @returns index of the first weight that is not finite or too large for f16, or -1.
 */
export function quantizeQb8w(weights: Float32Array, out: Qb8wOutput): number {
  for (let start = 0, group = 0; start < weights.length; start += GROUP_SIZE, group++) {
    const bad = firstUnrepresentable(weights, start);
    if (bad >= 0) {
      return bad;
    }
    let largest = 0;
    for (let i = start; i < start + GROUP_SIZE; i++) {
      largest = Math.max(largest, Math.abs(weights[i] ?? 0));
    }
    const scaleBits = f32ToF16(largest / QB8W_QUANT_MAX);
    const scale = F16_VALUES[scaleBits] ?? 0;
    out.scales[group] = scaleBits;
    for (let i = start; i < start + GROUP_SIZE; i++) {
      const quant = scale === 0 ? 0 : Math.round((weights[i] ?? 0) / scale);
      // The f16 scale may have been rounded down, which puts the largest magnitude just above 127.
      out.quants[i] = Math.min(QB8W_QUANT_MAX, Math.max(-QB8W_QUANT_MAX, quant));
    }
  }
  return -1;
}

function firstUnrepresentable(weights: Float32Array, start: number): number {
  for (let i = start; i < start + GROUP_SIZE; i++) {
    // Written so that NaN fails it too.
    if (!(Math.abs(weights[i] ?? 0) <= F16_MAX)) {
      return i;
    }
  }
  return -1;
}

interface GroupFit {
  /** Already rounded to f16. */
  scale: number;
  /** Already rounded to f16. */
  minimum: number;
}

function searchGroup(weights: Float32Array, start: number, best: GroupFit): void {
  let low = Infinity;
  let high = -Infinity;
  for (let i = start; i < start + GROUP_SIZE; i++) {
    const weight = weights[i] ?? 0;
    low = Math.min(low, weight);
    high = Math.max(high, weight);
  }
  best.scale = 0;
  best.minimum = roundToF16(low);
  if (high === low) {
    return;
  }
  let bestError = Infinity;
  const candidate = { scale: 0, minimum: 0 };
  for (const offset of RANGE_DIVISOR_OFFSETS) {
    candidate.scale = (high - low) / (QB4W_QUANT_MAX + offset);
    // What a smaller divisor adds to the range is taken from both ends alike: the centre stays.
    candidate.minimum = (high + low) / 2 - (candidate.scale * QB4W_QUANT_MAX) / 2;
    for (let round = 0; round < NUM_REFITS; round++) {
      refit(weights, start, candidate);
    }
    roundFit(weights, start, candidate);
    const error = squaredError(weights, start, candidate);
    if (error < bestError) {
      bestError = error;
      best.scale = candidate.scale;
      best.minimum = candidate.minimum;
    }
  }
}

/** Assigns quants with the present fit and replaces it by the least-squares fit to that assignment. */
function refit(weights: Float32Array, start: number, fit: GroupFit): void {
  let sumQ = 0;
  let sumQQ = 0;
  let sumW = 0;
  let sumQW = 0;
  for (let i = start; i < start + GROUP_SIZE; i++) {
    const weight = weights[i] ?? 0;
    const quant = nearestQuant(weight, fit.scale, fit.minimum);
    sumQ += quant;
    sumQQ += quant * quant;
    sumW += weight;
    sumQW += quant * weight;
  }
  const determinant = GROUP_SIZE * sumQQ - sumQ * sumQ;
  if (determinant > 0) {
    fit.scale = (GROUP_SIZE * sumQW - sumQ * sumW) / determinant;
    fit.minimum = (sumW - fit.scale * sumQ) / GROUP_SIZE;
  }
}

/** Rounds the scale to f16 first, then the minimum that suits the rounded scale best. */
function roundFit(weights: Float32Array, start: number, fit: GroupFit): void {
  let sumQ = 0;
  let sumW = 0;
  for (let i = start; i < start + GROUP_SIZE; i++) {
    const weight = weights[i] ?? 0;
    sumQ += nearestQuant(weight, fit.scale, fit.minimum);
    sumW += weight;
  }
  fit.scale = roundToF16(fit.scale);
  fit.minimum = roundToF16((sumW - fit.scale * sumQ) / GROUP_SIZE);
}

function squaredError(weights: Float32Array, start: number, fit: GroupFit): number {
  let error = 0;
  for (let i = start; i < start + GROUP_SIZE; i++) {
    const weight = weights[i] ?? 0;
    const difference = nearestQuant(weight, fit.scale, fit.minimum) * fit.scale + fit.minimum - weight;
    error += difference * difference;
  }
  return error;
}

function nearestQuant(weight: number, scale: number, minimum: number): number {
  if (scale === 0) {
    return 0;
  }
  const quant = Math.floor((weight - minimum) / scale + 0.5);
  return quant < 0 ? 0 : quant > QB4W_QUANT_MAX ? QB4W_QUANT_MAX : quant;
}

function roundToF16(value: number): number {
  return F16_VALUES[f32ToF16(value)] ?? 0;
}
