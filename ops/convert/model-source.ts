/** What the converter needs to know of a source, whatever its file format. */
import type { FileHandle } from 'node:fs/promises';
import type { ChatConfig } from '../../worker/tokenizer/chat-config.ts';
import { headTensors, layerTensors, type ModelConfig, type TensorSpec } from '../../wasm/host/model-config.ts';
import { ConvertError } from './convert-error.ts';
import type { TensorType } from './weights/tensor-types.ts';

/** A tensor in a source file; its bytes have been checked to lie inside the file. */
export interface SourceTensor {
  readonly name: string;
  /** `[rows, cols]` of a matrix, `[size]` of a vector. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly file: FileHandle;
  /** Absolute offset in the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

export interface ModelSource {
  readonly architecture: string;
  readonly config: ModelConfig;
  readonly sha256: string;
  /** Text of `tokenizer.json`. */
  readonly tokenizerJson: string;
  readonly chat: Omit<ChatConfig, 'model'>;
  /** By canonical name: exactly those of `modelTensors(config)`. */
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** Whether query and key rows are in the order of interleaved RoPE. */
  readonly rowOrder: 'interleaved' | 'half';
  close(): Promise<void>;
}

/** Every tensor of a model in the order of the manifest: the head's, then layer by layer. */
export function modelTensors(config: ModelConfig): TensorSpec[] {
  const layers = Array.from({ length: config.numLayers }, (_, layerIndex) => layerTensors(config, layerIndex));
  return [...headTensors(config), ...layers.flat()];
}

/**
 * Pairs every tensor that the model needs with one of the source, and accepts no others: a tensor that nothing reads is a
 * part of the architecture that would silently be left out.
 *
 * @param nameOf source name of a canonical name
 * @param isIgnorable source tensors that carry no weights
 * @throws ConvertError `missing-tensor`, `unexpected-tensor` or `tensor-shape`
 */
export function matchTensors(
  config: ModelConfig,
  available: ReadonlyMap<string, SourceTensor>,
  nameOf: (canonicalName: string) => string,
  isIgnorable: (sourceName: string) => boolean,
): Map<string, SourceTensor> {
  const matched = new Map<string, SourceTensor>();
  const usedNames = new Set<string>();
  for (const spec of modelTensors(config)) {
    const name = nameOf(spec.name);
    const tensor = available.get(name);
    if (tensor === undefined) {
      throw new ConvertError('missing-tensor', `the file has no tensor ${name}; it is incomplete, fetch it again`);
    }
    if (tensor.shape.length !== spec.shape.length || tensor.shape.some((size, i) => size !== spec.shape[i])) {
      throw new ConvertError(
        'tensor-shape',
        `the tensor ${name} has shape [${tensor.shape.join(', ')}], but the hyperparameters ask for [${spec.shape.join(', ')}]`,
      );
    }
    matched.set(spec.name, tensor);
    usedNames.add(name);
  }
  for (const name of available.keys()) {
    if (!usedNames.has(name) && !isIgnorable(name)) {
      throw new ConvertError(
        'unexpected-tensor',
        `the tensor ${JSON.stringify(name)} is no part of this architecture, and leaving it out would change the model's answers; use a plain model without it`,
      );
    }
  }
  return matched;
}

/** @param tensors of one file. @throws ConvertError `malformed` when two of them share bytes */
export function refuseOverlaps(tensors: readonly SourceTensor[]): void {
  let previous: SourceTensor | undefined;
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset)) {
    if (previous !== undefined && previous.offset + previous.bytes > tensor.offset) {
      throw new ConvertError('malformed', `the tensors ${previous.name} and ${tensor.name} overlap in the file`);
    }
    previous = tensor;
  }
}
