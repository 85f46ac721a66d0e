/** Labelled points around centres, for tests of training: as hard as `noise` says, the same for a seed everywhere. */
import { f32ToF16 } from '../../../wasm/host/f16.ts';
import { Random } from '../../../wasm/test/random.ts';
import { Targets } from '../targets.ts';
import type { Checkpoints } from '../cross-validate.ts';
import type { TrainingRows, Work } from '../training-rows.ts';
import type { TrainingOptions } from '../train.ts';

export interface SyntheticOptions {
  readonly numLabels: number;
  /** Of each label. */
  readonly numExamples: number;
  readonly featureSize: number;
  /** Standard deviation around the centres, whose own is 1. */
  readonly noise: number;
  readonly seed: number;
}

export interface Synthetic {
  /** Bits of f16 `[numRows, featureSize]`. */
  readonly features: Uint16Array<ArrayBuffer>;
  /** The label of each row; rows of all labels take turns. */
  readonly labels: readonly number[];
}

/** Two sets of the same centres have the same seed and other `draw`s. */
export function synthetic(options: SyntheticOptions, draw = 0): Synthetic {
  const { numLabels, numExamples, featureSize, noise, seed } = options;
  const centres = new Random(seed);
  const random = new Random(seed + 1 + draw);
  const centre = Float64Array.from({ length: numLabels * featureSize }, () => centres.normal());
  const labels = Array.from({ length: numLabels * numExamples }, (_, row) => row % numLabels);
  const features = Uint16Array.from({ length: labels.length * featureSize }, (_, at) => {
    const [row, column] = [Math.floor(at / featureSize), at % featureSize];
    return f32ToF16((centre[(labels[row] ?? 0) * featureSize + column] ?? 0) + noise * random.normal());
  });
  return { features, labels };
}

export function rowsOf(features: Uint16Array, featureSize: number, targets: Targets): TrainingRows {
  return {
    featureSize,
    partSize: featureSize,
    hashedSize: 0,
    targets,
    readFeatures: (row, into) => into.set(features.subarray(row * featureSize, (row + 1) * featureSize)),
  };
}

export class MemoryCheckpoints implements Checkpoints {
  readonly values = new Map<string, Float32Array>();

  load(key: string): Float32Array | null {
    return this.values.get(key)?.slice() ?? null;
  }

  save(key: string, values: Float32Array): void {
    this.values.set(key, values.slice());
  }

  remove(key: string): void {
    this.values.delete(key);
  }
}

/** Options to train on a single-label set, each text of its own. */
export function trainingOf(
  kernels: WebAssembly.Module,
  { features, labels }: Synthetic,
  numLabels: number,
): TrainingOptions & { readonly checkpoints: MemoryCheckpoints } {
  const labelsOfRows = labels.map((label) => [label]);
  return {
    kernels,
    source: rowsOf(features, features.length / labels.length, new Targets('single', numLabels, labelsOfRows)),
    labels: Array.from({ length: numLabels }, (_, label) => `label ${label}`),
    featureRecipe: 'synthetic',
    groupOf: Uint32Array.from(labels.keys()),
    checkpoints: new MemoryCheckpoints(),
    onProgress: () => {},
  };
}

/** Runs to the end. @param onSlice called between two slices, with the multiply-adds of the last one. */
export function finish<T>(work: Work<T>, onSlice: (multiplyAdds: number) => void = () => {}): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) {
      return value;
    }
    onSlice(value);
  }
}
