/** Projections with numbers that look random and are the same each time. */

export interface ProjectionShape {
  readonly model: string;
  readonly hiddenSize: number;
  readonly dimensions: number;
}

function base64(values: ArrayBufferView<ArrayBuffer>): string {
  return btoa(String.fromCharCode(...new Uint8Array(values.buffer)));
}

export function projectionFile({ model, hiddenSize, dimensions }: ProjectionShape): Record<string, unknown> {
  const floats = (length: number, scale: number, offset = 0): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length }, (_, at) => offset + scale * Math.sin(at * 1.7 + length));
  return {
    format: 1,
    model,
    part: { numLayers: 1, pooling: 'mean' },
    windowTokens: 16,
    dimensions,
    mean: base64(floats(hiddenSize, 0.1)),
    deviation: base64(floats(hiddenSize, 0.3, 1)),
    centre: base64(floats(hiddenSize, 0.01)),
    scales: base64(floats(dimensions, 0.005, 0.01)),
    quants: base64(
      Int8Array.from({ length: dimensions * hiddenSize }, (_, at) => ((at * 89 + ((at * at) % 31)) % 255) - 127),
    ),
  };
}
