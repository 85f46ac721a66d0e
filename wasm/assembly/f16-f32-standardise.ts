/**
 * A classifier's features as its linear layer takes them: f16 as they are kept, minus the mean and times the scale of
 * each column, each part brought to the same length so that a row has length 1, followed by a 1 for the intercept and
 * zeros up to the width of the matrix.
 */
import { decodeF16, decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import { sumLanes } from './lanes';
import { F16_BYTES, F32_BYTES } from './layout';

const LANES: i32 = 4;

/**
 * A part without any length, which only one that equals the means has, stays 0.
 * @param output f32 `[numRows, cols]`; `cols` greater than `numParts * partSize`
 * @param features f16 `[numRows, numParts, partSize]`, finite; `partSize` a multiple of 4
 * @param means f32 `[numParts, partSize]`
 * @param scales f32 `[numParts, partSize]`
 */
export function f16_f32_standardise__simd128(
  output: usize,
  features: usize,
  means: usize,
  scales: usize,
  numRows: i32,
  numParts: i32,
  partSize: i32,
  cols: i32,
): void {
  const f16Mask = loadF16Mask();
  const f16Correction = loadF16BiasCorrection();
  const partBytes: usize = partSize * F32_BYTES;
  for (let row = 0; row < numRows; row++) {
    let to = output;
    let mean = means;
    let scale = scales;
    for (let part = 0; part < numParts; part++) {
      let squares = f32x4.splat(0);
      for (let at: usize = 0; at < partBytes; at += sizeof<v128>()) {
        const value = decodeF16x4(features, f16Mask, f16Correction);
        const scaled = f32x4.mul(f32x4.sub(value, v128.load(mean + at)), v128.load(scale + at));
        squares = f32x4.add(squares, f32x4.mul(scaled, scaled));
        v128.store(to + at, scaled);
        features += LANES * F16_BYTES;
      }
      const factor = f32x4.splat(lengthFactor(sumLanes(squares), numParts));
      for (let at: usize = 0; at < partBytes; at += sizeof<v128>()) {
        v128.store(to + at, f32x4.mul(v128.load(to + at), factor));
      }
      to += partBytes;
      mean += partBytes;
      scale += partBytes;
    }
    fillTail(output, numParts * partSize, cols);
    output += cols * F32_BYTES;
  }
}

/** What gives a part its share of a row's length 1. */
function lengthFactor(squares: f32, numParts: i32): f32 {
  return squares > 0 ? <f32>1 / Mathf.sqrt(squares * <f32>numParts) : 0;
}

function fillTail(output: usize, size: i32, cols: i32): void {
  store<f32>(output + size * F32_BYTES, 1);
  for (let col = size + 1; col < cols; col++) {
    store<f32>(output + col * F32_BYTES, 0);
  }
}

export function f16_f32_standardise__scalar(
  output: usize,
  features: usize,
  means: usize,
  scales: usize,
  numRows: i32,
  numParts: i32,
  partSize: i32,
  cols: i32,
): void {
  for (let row = 0; row < numRows; row++) {
    for (let part = 0; part < numParts; part++) {
      const start = part * partSize;
      let squares0: f32 = 0;
      let squares1: f32 = 0;
      let squares2: f32 = 0;
      let squares3: f32 = 0;
      for (let col = start; col < start + partSize; col++) {
        const at: usize = col * F32_BYTES;
        const scaled = (decodeF16(features, col) - load<f32>(means + at)) * load<f32>(scales + at);
        store<f32>(output + at, scaled);
        const lane = (col - start) & (LANES - 1);
        if (lane == 0) squares0 += scaled * scaled;
        else if (lane == 1) squares1 += scaled * scaled;
        else if (lane == 2) squares2 += scaled * scaled;
        else squares3 += scaled * scaled;
      }
      const factor = lengthFactor(squares0 + squares1 + (squares2 + squares3), numParts);
      for (let col = start; col < start + partSize; col++) {
        const at: usize = output + col * F32_BYTES;
        store<f32>(at, load<f32>(at) * factor);
      }
    }
    fillTail(output, numParts * partSize, cols);
    features += numParts * partSize * F16_BYTES;
    output += cols * F32_BYTES;
  }
}
