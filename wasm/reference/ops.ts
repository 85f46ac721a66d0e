/**
 * The operations of a decoder in plain TypeScript and f64: what the kernels are checked against. Written for reading, from
 * the definitions; shares no code with the kernels.
 */

/** `[rows]` = matrix `[rows, cols]` times vector `[cols]`. */
export function matmul(matrix: Float64Array, vector: Float64Array, rows: number): Float64Array<ArrayBuffer> {
  const cols = vector.length;
  return Float64Array.from({ length: rows }, (_, row) => dot(matrix.subarray(row * cols, (row + 1) * cols), vector));
}

export function dot(a: Float64Array, b: Float64Array): number {
  if (a.length !== b.length) {
    throw new RangeError(`a vector of ${a.length} with one of ${b.length}`);
  }
  let sum = 0;
  for (let index = 0; index < a.length; index++) {
    sum += (a[index] ?? 0) * (b[index] ?? 0);
  }
  return sum;
}

/** input / sqrt(mean of squares + eps) * weight. */
export function rmsNorm(input: Float64Array, weight: Float64Array, eps: number): Float64Array<ArrayBuffer> {
  const meanSquare = dot(input, input) / input.length;
  return Float64Array.from(input, (value, index) => (value / Math.sqrt(meanSquare + eps)) * at(weight, index));
}

/** Rotary embedding of one head, half style: element i turns with element i + headDim / 2. */
export function rope(head: Float64Array, position: number, theta: number): Float64Array<ArrayBuffer> {
  const half = head.length / 2;
  const rotated = new Float64Array(head.length);
  for (let pair = 0; pair < half; pair++) {
    const angle = position * theta ** (-pair / half);
    const first = at(head, pair);
    const second = at(head, pair + half);
    rotated[pair] = first * Math.cos(angle) - second * Math.sin(angle);
    rotated[pair + half] = second * Math.cos(angle) + first * Math.sin(angle);
  }
  return rotated;
}

/** silu(gate) * up. */
export function swiglu(gate: Float64Array, up: Float64Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(gate, (value, index) => (value / (1 + Math.exp(-value))) * at(up, index));
}

export function softmax(scores: Float64Array): Float64Array<ArrayBuffer> {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Float64Array.from(scores, (score) => Math.exp(score - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** One query head over the keys and values of its KV head, each `[headDim]`. */
export function attention(
  query: Float64Array,
  keys: readonly Float64Array[],
  values: readonly Float64Array[],
): Float64Array<ArrayBuffer> {
  const scores = Float64Array.from(keys, (key) => dot(query, key) / Math.sqrt(query.length));
  const weights = softmax(scores);
  const output = new Float64Array(query.length);
  for (const [position, value] of values.entries()) {
    for (const [dim, element] of value.entries()) {
      output[dim] = at(output, dim) + at(weights, position) * element;
    }
  }
  return output;
}

export function add(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return Float64Array.from(a, (value, index) => value + at(b, index));
}

function at(values: Float64Array, index: number): number {
  const value = values[index];
  if (value === undefined) {
    throw new RangeError(`index ${index} of ${values.length}`);
  }
  return value;
}
