/** Turns rows of a source tensor into the bytes of a weight format. */
import { packQb4w, packQb8w } from '../../../wasm/host/pack.ts';
import { GROUP_SIZE, type WeightFormat } from '../../../wasm/host/model-config.ts';
import { ConvertError } from '../convert-error.ts';
import { importQ40, importQ41, importQ80 } from './import-groups.ts';
import { quantizeQb4w, quantizeQb8w } from './quantize-ref.ts';
import type { TensorType } from './tensor-types.ts';

type Encoder = (type: TensorType, rows: number, cols: number, bytes: Uint8Array) => Uint8Array;

const ENCODERS: Readonly<Record<WeightFormat, Encoder>> = { f32: encodeF32, qb4w: encodeQb4w, qb8w: encodeQb8w };

/**
 * Encodes whole rows. Both packed layouts keep tiles of 8 rows one after the other, so chunks of a multiple of 8 rows
 * (and a last one of any size) can be encoded apart and concatenated.
 *
 * Q4_0 and Q4_1 become `qb4w`, and Q8_0 becomes `qb8w`, without loss. Everything else is read as float32 and quantised
 * by the reference quantisers; that includes a 4-bit embedding, since `(q - 8) · scale` is an int8 group but
 * `q · scale + minimum` is not, and one rule for both is worth more than the 0.4 % of error that int8 adds.
 *
 * @param bytes the rows in the source's tensor type
 * @throws ConvertError `weight-out-of-range`
 */
export function encodeRows(
  format: WeightFormat,
  type: TensorType,
  rows: number,
  cols: number,
  bytes: Uint8Array,
): Uint8Array {
  return ENCODERS[format](type, rows, cols, bytes);
}

function encodeF32(type: TensorType, rows: number, cols: number, bytes: Uint8Array): Uint8Array {
  const weights = dequantized(type, rows * cols, bytes);
  const packed = new Uint8Array(weights.length * 4);
  const view = new DataView(packed.buffer);
  weights.forEach((weight, i) => {
    if (!Number.isFinite(weight)) {
      throw outOfRange(i);
    }
    view.setFloat32(i * 4, weight, true);
  });
  return packed;
}

function encodeQb4w(type: TensorType, rows: number, cols: number, bytes: Uint8Array): Uint8Array {
  const numGroups = (rows * cols) / GROUP_SIZE;
  const out = {
    quants: new Uint8Array(rows * cols),
    scales: new Uint16Array(numGroups),
    minima: new Uint16Array(numGroups),
  };
  let badElement: number;
  if (type.name === 'Q4_0') {
    badElement = importQ40(bytes, out) * GROUP_SIZE;
  } else if (type.name === 'Q4_1') {
    badElement = importQ41(bytes, out) * GROUP_SIZE;
  } else {
    badElement = quantizeQb4w(dequantized(type, rows * cols, bytes), out);
  }
  if (badElement >= 0) {
    throw outOfRange(badElement);
  }
  return packQb4w(rows, cols, out.quants, out.scales, out.minima);
}

function encodeQb8w(type: TensorType, rows: number, cols: number, bytes: Uint8Array): Uint8Array {
  const out = { quants: new Int8Array(rows * cols), scales: new Uint16Array((rows * cols) / GROUP_SIZE) };
  const badElement =
    type.name === 'Q8_0'
      ? importQ80(bytes, out) * GROUP_SIZE
      : quantizeQb8w(dequantized(type, rows * cols, bytes), out);
  if (badElement >= 0) {
    throw outOfRange(badElement);
  }
  return packQb8w(rows, cols, out.quants, out.scales);
}

function dequantized(type: TensorType, numElements: number, bytes: Uint8Array): Float32Array {
  const weights = new Float32Array(numElements);
  type.dequantize(bytes, weights);
  return weights;
}

/** The caller adds the tensor's name. */
function outOfRange(element: number): ConvertError {
  return new ConvertError(
    'weight-out-of-range',
    `element ${element} of these rows is not finite or larger than 65504, the largest f16; the file is damaged or was trained with other formats in mind`,
  );
}
