/** The isolates beside the ring: what is in them, and how a training gives way where a model needs the room. */
import { describe, expect, it } from 'vitest';
import { LABELS_MAX, LABELS_MIN } from '../../../shards/classify/limits.ts';
import { trainingBytes } from '../../../shards/classify/training-memory.ts';
import { CLASSIFIER_NUM_PARTS, FEATURE_RECIPE } from '../../../shards/features/recipe.ts';
import type { ModelConfig } from '../../../wasm/host/model-config.ts';
import { TRAINING_PACE } from '../../../worker/classify/limits.ts';
import { MODEL_CACHE_BYTES_MAX } from '../../../worker/classify/model-cache.ts';
import { CLASSIFY_HEAP_BYTES, GATEWAY_HEAP_BYTES, ISOLATE_BUDGET_BYTES } from '../limits.ts';
import { TOKENIZER_HEAP_PER_FILE_BYTE as PER_BYTE } from '../limits.ts';
import { planClassify, planGateway } from '../plan-services.ts';

const terms = (tokenizerBytes: number, hiddenSize = 576) => ({
  model: 'm',
  config: { hiddenSize } as ModelConfig,
  tokenizerBytes,
});

const bytesOf = (numLabels: number, hiddenSize = 576): number =>
  trainingBytes({
    numLabels,
    featureSize: hiddenSize * CLASSIFIER_NUM_PARTS,
    partSize: hiddenSize,
    hashedSize: hiddenSize * FEATURE_RECIPE.numHashedParts,
  });

/** The largest `tokenizer.json` that leaves so many bytes of the classifiers' isolate. */
const tokenizerLeaving = (bytes: number): number =>
  Math.floor((ISOLATE_BUDGET_BYTES - CLASSIFY_HEAP_BYTES - bytes) / PER_BYTE);

/** What a training of any number of labels takes, at most. */
const LARGEST = Math.max(...Array.from({ length: LABELS_MAX }, (_, at) => bytesOf(at + 1)));

describe('planClassify', () => {
  it('has room for the most labels beside the tokenizer of the default model, and for features', () => {
    const plan = planClassify(terms(1.5 * 2 ** 20));
    expect(plan).toMatchObject({ labelsMax: LABELS_MAX, trainingBytesMax: TRAINING_PACE.trainingBytesMax });
    expect(plan.totalBytes).toBe(plan.heapBytes + plan.tokenizerBytes + plan.trainingBytesMax);
    expect(plan.totalBytes).toBeLessThanOrEqual(ISOLATE_BUDGET_BYTES);
    const { numLabels, workspaceBytes, searchBytes, logitsBytes } = plan.largest;
    expect(workspaceBytes + searchBytes + logitsBytes).toBe(bytesOf(numLabels));
    expect(bytesOf(numLabels)).toBe(LARGEST);
  });

  it('gives a training what the tokenizer leaves, and fewer labels where that is too little', () => {
    const all = planClassify(terms(tokenizerLeaving(LARGEST)));
    expect(all.labelsMax).toBe(LABELS_MAX);
    expect(all.trainingBytesMax - LARGEST).toBeLessThan(PER_BYTE);
    const fewer = planClassify(terms(tokenizerLeaving(LARGEST) + 1));
    expect(fewer.trainingBytesMax).toBeLessThan(LARGEST);
    expect(fewer.labelsMax).toBe(all.largest.numLabels - 1);
    expect(bytesOf(fewer.labelsMax)).toBeLessThanOrEqual(fewer.trainingBytesMax);
    expect(fewer.totalBytes).toBeLessThanOrEqual(ISOLATE_BUDGET_BYTES);
  });

  it('takes fewer labels of a model with wide hidden states', () => {
    const { labelsMax, totalBytes, trainingBytesMax } = planClassify(terms(1.5 * 2 ** 20, 2048));
    expect(labelsMax).toBeGreaterThan(100);
    expect(labelsMax).toBeLessThan(LABELS_MAX);
    expect(bytesOf(labelsMax + 1, 2048)).toBeGreaterThan(trainingBytesMax);
    expect(totalBytes).toBeLessThanOrEqual(ISOLATE_BUDGET_BYTES);
  });

  it('refuses a model that leaves no room for two labels', () => {
    const largest = tokenizerLeaving(bytesOf(LABELS_MIN));
    expect(planClassify(terms(largest)).labelsMax).toBeGreaterThanOrEqual(LABELS_MIN);
    expect(() => planClassify(terms(largest + 1))).toThrow(/features of m does not fit.* 2 labels need/);
  });
});

describe('planGateway', () => {
  it('holds the tokenizer and the models of classifiers, up to the budget', () => {
    const largest = Math.floor((ISOLATE_BUDGET_BYTES - GATEWAY_HEAP_BYTES - MODEL_CACHE_BYTES_MAX) / PER_BYTE);
    const plan = planGateway(terms(largest));
    expect(plan.modelCacheBytes).toBe(MODEL_CACHE_BYTES_MAX);
    expect(plan.totalBytes).toBe(GATEWAY_HEAP_BYTES + largest * PER_BYTE + MODEL_CACHE_BYTES_MAX);
    expect(() => planGateway(terms(largest + 1))).toThrow(/tokenizer of m does not fit in the gateway/);
  });
});
