/**
 * A trained model as a file: safetensors, with everything that is not a tensor as JSON in its metadata. What is stored,
 * exported and imported is the same.
 */
import * as z from 'zod';
import type { ClassifierModel } from '../../shards/classify/model.ts';
import { LABELS_MAX } from '../../shards/classify/limits.ts';
import { err, ok, type Result } from '../../shards/result.ts';
import { floatBytes } from './blob-store.ts';

/** Raised when the meaning of a field or a tensor changes. */
export const MODEL_FILE_FORMAT = 'lamina-classifier/1';

const LENGTH_BYTES = 8;
/** JSON before the tensors: 500 labels with their report. */
const HEADER_BYTES_MAX = 4 * 1024 * 1024;

const TENSORS = ['means', 'scales', 'weights', 'intercepts'] as const;
type TensorName = (typeof TENSORS)[number];

const headerSchema = z.object({
  kind: z.enum(['single', 'multi']),
  labels: z.array(z.string().min(1)).min(2).max(LABELS_MAX),
  featureRecipe: z.string().min(1),
  partSize: z.int().positive(),
  temperature: z.number().positive(),
  outOfScope: z.object({ numRows: z.int().positive(), quantiles: z.array(z.number()).min(2).max(4096) }).nullable(),
  outOfScopeThreshold: z.number().min(0).max(1),
});

/** @param extra JSON that travels with the model, such as its report. */
export function encodeModelFile(model: ClassifierModel, extra: unknown): Uint8Array<ArrayBuffer> {
  const { kind, labels, featureRecipe, partSize, temperature, outOfScope, outOfScopeThreshold } = model;
  const header = { kind, labels, featureRecipe, partSize, temperature, outOfScope, outOfScopeThreshold };
  const tensors: Record<string, unknown> = {};
  let end = 0;
  for (const name of TENSORS) {
    const start = end;
    end += model[name].byteLength;
    tensors[name] = { dtype: 'F32', shape: shapeOf(name, model), data_offsets: [start, end] };
  }
  const metadata = { format: MODEL_FILE_FORMAT, classifier: JSON.stringify(header), extra: JSON.stringify(extra) };
  const json = JSON.stringify({ __metadata__: metadata, ...tensors });
  const encoded = new TextEncoder().encode(json);
  // The tensors begin at a multiple of 8, as the format recommends: the JSON is padded with spaces.
  const headerBytes = Math.ceil(encoded.length / LENGTH_BYTES) * LENGTH_BYTES;
  const bytes = new Uint8Array(LENGTH_BYTES + headerBytes + end).fill(0x20, LENGTH_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.set(encoded, LENGTH_BYTES);
  let at = LENGTH_BYTES + headerBytes;
  for (const name of TENSORS) {
    bytes.set(floatBytes(model[name]), at);
    at += model[name].byteLength;
  }
  return bytes;
}

function shapeOf(name: TensorName, { labels, means }: ClassifierModel): number[] {
  return name === 'weights' ? [labels.length, means.length] : name === 'intercepts' ? [labels.length] : [means.length];
}

export interface ModelFile {
  readonly model: ClassifierModel;
  readonly extra: unknown;
}

/** @returns what is wrong with the file, as a sentence, when it is not a classifier. */
export function decodeModelFile(bytes: Uint8Array): Result<ModelFile, string> {
  try {
    return ok(decode(bytes));
  } catch (thrown) {
    if (thrown instanceof ModelFileError) {
      return err(thrown.message);
    }
    throw thrown;
  }
}

class ModelFileError extends Error {
  override readonly name = 'ModelFileError';
}

function decode(bytes: Uint8Array): ModelFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  check(bytes.length > LENGTH_BYTES, 'it is shorter than the head of a safetensors file');
  const headerBytes = Number(view.getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + headerBytes;
  check(headerBytes <= HEADER_BYTES_MAX && dataStart <= bytes.length, 'its head is longer than it may be');
  const header = parseObject(new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, dataStart)));
  const metadata = (header['__metadata__'] ?? {}) as Record<string, unknown>;
  check(metadata['format'] === MODEL_FILE_FORMAT, `its metadata does not say "format": "${MODEL_FILE_FORMAT}"`);
  const described = headerSchema.safeParse(parseObject(metadata['classifier']));
  check(described.success, 'its metadata does not describe a classifier');
  const data = bytes.subarray(dataStart);
  const tensor = (name: TensorName): Float32Array => readTensor(header[name], data, name);
  const model = {
    ...(described.data as Omit<ClassifierModel, TensorName>),
    means: tensor('means'),
    scales: tensor('scales'),
    weights: tensor('weights'),
    intercepts: tensor('intercepts'),
  };
  const { labels, means, scales, weights, intercepts, partSize } = model;
  check(
    means.length > 0 && means.length % partSize === 0 && scales.length === means.length,
    'the sizes of its features do not agree',
  );
  check(
    intercepts.length === labels.length && weights.length === labels.length * means.length,
    'its weights do not have a row for each label',
  );
  check(new Set(labels).size === labels.length, 'it has a label twice');
  return { model, extra: parseText(metadata['extra']) };
}

const tensorSchema = z.object({ dtype: z.literal('F32'), data_offsets: z.tuple([z.int().nonnegative(), z.int()]) });

function readTensor(described: unknown, data: Uint8Array, name: string): Float32Array {
  const parsed = tensorSchema.safeParse(described);
  check(parsed.success, `it has no f32 tensor '${name}'`);
  const [start, end] = parsed.data.data_offsets;
  check(start <= end && end <= data.length && (end - start) % 4 === 0, `the tensor '${name}' is cut off`);
  const values = new Float32Array(data.slice(start, end).buffer);
  check(values.every(Number.isFinite), `the tensor '${name}' holds values that are no numbers`);
  return values;
}

function parseText(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    throw new ModelFileError('its head is not JSON');
  }
}

function parseObject(text: unknown): Record<string, unknown> {
  const value = parseText(text);
  check(typeof value === 'object' && value !== null, 'its head is not a JSON object');
  return value as Record<string, unknown>;
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) {
    throw new ModelFileError(what);
  }
}
