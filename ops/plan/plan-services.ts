/** The isolates beside the ring: the gateway's, and that of the classifiers' script. */
import { LABELS_MAX, LABELS_MIN } from '../../shards/classify/limits.ts';
import { trainingBytes, type TrainingMemory, trainingMemory } from '../../shards/classify/training-memory.ts';
import { CLASSIFIER_NUM_PARTS, FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { TRAINING_PACE } from '../../worker/classify/limits.ts';
import { MODEL_CACHE_BYTES_MAX } from '../../worker/classify/model-cache.ts';
import { formatMib } from '../support/format.ts';
import { OperatorError } from '../support/operator-error.ts';
import {
  CLASSIFY_HEAP_BYTES,
  GATEWAY_HEAP_BYTES,
  ISOLATE_BUDGET_BYTES,
  TOKENIZER_HEAP_PER_FILE_BYTE,
} from './limits.ts';

/** What the model brings into both. */
export interface ServiceTerms {
  readonly model: string;
  readonly config: ModelConfig;
  /** Size of the model's `tokenizer.json`, which decides how large the tables become. */
  readonly tokenizerBytes: number;
}

export interface GatewayPlan {
  readonly heapBytes: number;
  /** Tables of the tokenizer. */
  readonly tokenizerBytes: number;
  /** Models of classifiers that are kept. */
  readonly modelCacheBytes: number;
  readonly totalBytes: number;
}

export interface ClassifyPlan {
  readonly heapBytes: number;
  readonly tokenizerBytes: number;
  /** A training, one at a time. */
  readonly trainingBytesMax: number;
  /** Labels with which a training stays within that. */
  readonly labelsMax: number;
  /** Parts of the training that takes most beside features, which have the rest: its labels are not the most. */
  readonly largest: TrainingMemory & { readonly numLabels: number };
  readonly totalBytes: number;
}

/** Throws `does_not_fit` when the tokenizer's tables are too large for one isolate with the rest. */
export function planGateway({ model, tokenizerBytes: fileBytes }: ServiceTerms): GatewayPlan {
  const tokenizerBytes = fileBytes * TOKENIZER_HEAP_PER_FILE_BYTE;
  const totalBytes = GATEWAY_HEAP_BYTES + tokenizerBytes + MODEL_CACHE_BYTES_MAX;
  if (totalBytes > ISOLATE_BUDGET_BYTES) {
    throw new OperatorError(
      'does_not_fit',
      `The tokenizer of ${model} does not fit in the gateway: its tables and the gateway need ` +
        `${formatMib(totalBytes)}; the budget of an isolate is ${formatMib(ISOLATE_BUDGET_BYTES)}.`,
      'Serve a model with a smaller vocabulary.',
    );
  }
  return { heapBytes: GATEWAY_HEAP_BYTES, tokenizerBytes, modelCacheBytes: MODEL_CACHE_BYTES_MAX, totalBytes };
}

/**
 * A training has what the tokenizer leaves, up to what it can use.
 * Throws `does_not_fit` when there is no room for two labels.
 */
export function planClassify({ model, config, tokenizerBytes: fileBytes }: ServiceTerms): ClassifyPlan {
  const tokenizerBytes = fileBytes * TOKENIZER_HEAP_PER_FILE_BYTE;
  const heldBytes = CLASSIFY_HEAP_BYTES + tokenizerBytes;
  const trainingBytesMax = Math.floor(Math.min(TRAINING_PACE.trainingBytesMax, ISOLATE_BUDGET_BYTES - heldBytes));
  const partSize = config.hiddenSize;
  const shapeOf = (numLabels: number) => ({
    numLabels,
    featureSize: partSize * CLASSIFIER_NUM_PARTS,
    partSize,
    hashedSize: partSize * FEATURE_RECIPE.numHashedParts,
  });
  let labelsMax = LABELS_MIN - 1;
  let largest = LABELS_MIN;
  while (labelsMax < LABELS_MAX && trainingBytes(shapeOf(labelsMax + 1)) <= trainingBytesMax) {
    labelsMax += 1;
    largest = trainingBytes(shapeOf(labelsMax)) > trainingBytes(shapeOf(largest)) ? labelsMax : largest;
  }
  if (labelsMax < LABELS_MIN) {
    throw new OperatorError(
      'does_not_fit',
      `Training classifiers on the features of ${model} does not fit in an isolate: ${LABELS_MIN} labels need ` +
        `${formatMib(heldBytes + trainingBytes(shapeOf(LABELS_MIN)))}; the budget is ${formatMib(ISOLATE_BUDGET_BYTES)}.`,
      'Serve a model with a smaller vocabulary, or with smaller hidden states.',
    );
  }
  return {
    heapBytes: CLASSIFY_HEAP_BYTES,
    tokenizerBytes,
    trainingBytesMax,
    labelsMax,
    largest: { ...trainingMemory(shapeOf(largest)), numLabels: largest },
    totalBytes: heldBytes + trainingBytesMax,
  };
}
