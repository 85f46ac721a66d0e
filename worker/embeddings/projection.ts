/**
 * From pooled hidden states to an embedding: standardised, scaled to length 1, centred, and projected on components that
 * are partly whitened. The numbers are fitted offline for each model (`ops/eval/oracle/fit_projection.py`) and lie with
 * the gateway's assets.
 */
import * as z from 'zod';
import { POOLINGS, type FeaturePart } from '../../shards/features/feature-protocol.ts';

/** Components at most: more than any model has hidden values. */
const DIMENSIONS_MAX = 8192;

const bytes = z.base64().transform((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
const floats = bytes
  .refine((raw) => raw.length % Float32Array.BYTES_PER_ELEMENT === 0, 'no whole number of floats')
  .transform((raw) => new Float32Array(raw.buffer));

const fileSchema = z.strictObject({
  format: z.literal(1),
  model: z.string(),
  part: z.strictObject({ numLayers: z.int().nonnegative(), pooling: z.enum(POOLINGS) }),
  windowTokens: z.int().positive(),
  dimensions: z.int().positive().max(DIMENSIONS_MAX),
  /** `[hiddenSize]` each. */
  mean: floats,
  deviation: floats,
  centre: floats,
  /** `[dimensions]`: a component is its quants times its scale. */
  scales: floats,
  /** `[dimensions, hiddenSize]` */
  quants: bytes.transform((raw) => new Int8Array(raw.buffer)),
});

export class EmbeddingProjection {
  readonly part: FeaturePart;
  readonly windowTokens: number;
  /** Of a whole embedding; its first ones are an embedding too. */
  readonly dimensions: number;
  readonly #file: z.infer<typeof fileSchema>;

  /** @throws Error when the text is not a projection, or not one of `model`. */
  constructor(text: string, model: string) {
    const parsed = fileSchema.safeParse(JSON.parse(text));
    if (!parsed.success) {
      throw new Error(`The projection of ${model} cannot be used: ${z.prettifyError(parsed.error)}`);
    }
    const file = parsed.data;
    const hiddenSize = file.mean.length;
    const isConsistent =
      file.deviation.length === hiddenSize &&
      file.centre.length === hiddenSize &&
      file.scales.length === file.dimensions &&
      file.quants.length === file.dimensions * hiddenSize;
    if (!isConsistent || file.model !== model) {
      throw new Error(`The projection of ${model} is one of ${file.model}, or its parts do not fit together`);
    }
    this.#file = file;
    this.part = file.part;
    this.windowTokens = file.windowTokens;
    this.dimensions = file.dimensions;
  }

  /**
   * @param features `[hiddenSize]`
   * @param dimensions of the result, at most `this.dimensions`
   * @returns an embedding of length 1
   */
  project(features: Float32Array, dimensions: number): Float32Array<ArrayBuffer> {
    const { mean, deviation, centre, scales, quants } = this.#file;
    const hiddenSize = mean.length;
    const scaled = features.map((value, at) => (value - (mean[at] ?? 0)) / (deviation[at] ?? 1));
    normalise(scaled);
    const embedding = new Float32Array(dimensions);
    for (let row = 0; row < dimensions; row++) {
      let sum = 0;
      for (let at = 0; at < hiddenSize; at++) {
        sum += ((scaled[at] ?? 0) - (centre[at] ?? 0)) * (quants[row * hiddenSize + at] ?? 0);
      }
      embedding[row] = sum * (scales[row] ?? 0);
    }
    normalise(embedding);
    return embedding;
  }
}

/** Scales to length 1 in place; zeros stay. */
function normalise(vector: Float32Array): void {
  const length = Math.hypot(...vector);
  if (length > 0) {
    for (let at = 0; at < vector.length; at++) {
      vector[at] = (vector[at] ?? 0) / length;
    }
  }
}

/** Loads each projection once per isolate. A failed load is forgotten, so that the next request tries again. */
export function createProjections(
  readFile: (path: string) => Promise<string>,
): (path: string, model: string) => Promise<EmbeddingProjection> {
  const loads = new Map<string, Promise<EmbeddingProjection>>();
  return (path, model) => {
    const load =
      loads.get(path) ??
      readFile(path)
        .then((text) => new EmbeddingProjection(text, model))
        .catch((error: unknown) => {
          loads.delete(path);
          throw error;
        });
    loads.set(path, load);
    return load;
  };
}
