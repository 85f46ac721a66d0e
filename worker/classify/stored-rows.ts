/** A classifier's stored examples as the trainer reads them, as many as allowed kept in memory. */
import { Targets, type ClassifierKind } from '../../shards/classify/targets.ts';
import { trainingBytes } from '../../shards/classify/training-memory.ts';
import type { TrainingRows } from '../../shards/classify/training-rows.ts';
import type { ClassifierStore } from './classifier-store.ts';

export interface StoredTraining {
  readonly source: TrainingRows;
  readonly labels: readonly string[];
  readonly groupOf: Uint32Array;
}

export interface StoredRowsOptions {
  readonly store: ClassifierStore;
  readonly kind: ClassifierKind;
  readonly exampleIdMax: number;
  /** Of the whole training: what its labels leave is for features. */
  readonly bytesMax: number;
  /** Parts of the features, the last of them of pieces of words. */
  readonly numParts: number;
  readonly numHashedParts: number;
}

/** All examples up to `exampleIdMax`, whose features are there. */
export function storedTraining(options: StoredRowsOptions): StoredTraining {
  const { store, kind, exampleIdMax, bytesMax, numParts, numHashedParts } = options;
  const examples = store.trainingExamples(exampleIdMax);
  const labels = [...new Set(examples.flatMap((example) => example.labels))].sort();
  const indexOf = new Map(labels.map((label, index) => [label, index]));
  const targets = new Targets(
    kind,
    labels.length,
    examples.map((example) => example.labels.map((label) => indexOf.get(label) ?? 0)),
  );
  const ids = Float64Array.from(examples, ({ id }) => id);
  const read = (row: number): Uint16Array => {
    const bytes = store.readFeatures(ids[row] ?? 0);
    if (bytes === null) {
      throw new Error(`example ${ids[row]} has no features`);
    }
    return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / Uint16Array.BYTES_PER_ELEMENT);
  };
  const featureSize = read(0).length;
  const partSize = featureSize / numParts;
  const hashedSize = partSize * numHashedParts;
  const cacheBytes = Math.max(
    0,
    bytesMax - trainingBytes({ numLabels: labels.length, featureSize, partSize, hashedSize }),
  );
  const rowsCached = Math.min(examples.length, Math.floor(cacheBytes / (featureSize * Uint16Array.BYTES_PER_ELEMENT)));
  const cache = new Uint16Array(rowsCached * featureSize);
  const isCached = new Uint8Array(rowsCached);
  const readFeatures = (row: number, into: Uint16Array): void => {
    const kept = cache.subarray(row * featureSize, (row + 1) * featureSize);
    if (row >= rowsCached) {
      into.set(read(row));
      return;
    }
    if (isCached[row] === 0) {
      kept.set(read(row));
      isCached[row] = 1;
    }
    into.set(kept);
  };
  return {
    source: { featureSize, partSize, hashedSize, targets, readFeatures },
    labels,
    groupOf: Uint32Array.from(examples, ({ group }) => group),
  };
}
