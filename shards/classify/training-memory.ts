/** What a training holds at once, so that it can be planned for: features, which the trainer is handed, are not in it. */
import { linearCols, linearWorkspaceBytes } from '../../wasm/host/linear-workspace.ts';
import { scatterWorkspaceBytes } from '../../wasm/host/scatter-workspace.ts';
import { BATCH_ROWS_MAX, FOLDS_MAX, VALIDATED_LOGITS_MAX } from './limits.ts';
import { searchBytes } from './minimise.ts';
import { numScatteredParts } from './within-scatter.ts';

export interface TrainingShape {
  readonly numLabels: number;
  readonly featureSize: number;
  readonly partSize: number;
  /** See `TrainingRows`. */
  readonly hashedSize: number;
}

export interface TrainingMemory {
  /** Weights, gradient and a batch, and the scatter of features: two WebAssembly memories. */
  readonly workspaceBytes: number;
  /** L-BFGS's vectors. */
  readonly searchBytes: number;
  /** Out-of-fold logits of the largest set that is validated, and those of the fold that has just been fitted. */
  readonly logitsBytes: number;
}

export function trainingMemory(shape: TrainingShape): TrainingMemory {
  const { partSize } = shape;
  const numParts = numScatteredParts(shape);
  const batchRowsMax = BATCH_ROWS_MAX;
  return {
    workspaceBytes:
      linearWorkspaceBytes({ ...shape, batchRowsMax }) + scatterWorkspaceBytes({ numParts, partSize, batchRowsMax }),
    searchBytes: searchBytes(shape.numLabels * linearCols(shape.featureSize)),
    logitsBytes: (1 + 1 / FOLDS_MAX) * VALIDATED_LOGITS_MAX * Float32Array.BYTES_PER_ELEMENT,
  };
}

/** All of it together. Fewer labels may take more: L-BFGS remembers more steps where they are short. */
export function trainingBytes(shape: TrainingShape): number {
  const { workspaceBytes, searchBytes: ofSearch, logitsBytes } = trainingMemory(shape);
  return workspaceBytes + ofSearch + logitsBytes;
}
