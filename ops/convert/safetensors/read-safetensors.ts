/**
 * Reads the header of a safetensors file: a table of its tensors, checked against the file.
 * Format: https://huggingface.co/docs/safetensors
 */
import type { FileHandle } from 'node:fs/promises';
import { ConvertError } from '../convert-error.ts';
import { readExactly } from '../file-reads.ts';
import { SOURCE_LIMITS } from '../limits.ts';
import { refuseOverlaps, type SourceTensor } from '../model-source.ts';
import { parseJsonObject, shown } from '../json.ts';
import { encodedBytes, TENSOR_TYPES, type TensorType } from '../weights/tensor-types.ts';

/** The header's length, a little-endian u64, comes before it. */
const LENGTH_BYTES = 8;

/** By the name that safetensors gives the type. */
const DTYPES: Readonly<Record<string, TensorType>> = {
  F32: TENSOR_TYPES.F32,
  F16: TENSOR_TYPES.F16,
  BF16: TENSOR_TYPES.BF16,
};

/** @throws ConvertError for every file that is not well-formed safetensors within `SOURCE_LIMITS` */
export async function readSafetensors(file: FileHandle, fileBytes: number): Promise<SourceTensor[]> {
  if (fileBytes < LENGTH_BYTES) {
    throw new ConvertError('unknown-format', `a file of ${fileBytes} bytes is no safetensors file`);
  }
  const lengthField = await readExactly(file, 0, LENGTH_BYTES);
  const headerBytes = new DataView(lengthField.buffer).getBigUint64(0, true);
  if (headerBytes > BigInt(SOURCE_LIMITS.safetensorsHeaderBytesMax)) {
    throw new ConvertError(
      'limit-exceeded',
      `the safetensors header claims ${headerBytes} bytes; at most ${SOURCE_LIMITS.safetensorsHeaderBytesMax} are read`,
    );
  }
  const dataOffset = LENGTH_BYTES + Number(headerBytes);
  if (dataOffset > fileBytes) {
    throw new ConvertError('malformed', `the file ends inside its header, at byte ${fileBytes}; fetch it again`);
  }
  const headerText = new TextDecoder().decode(await readExactly(file, LENGTH_BYTES, Number(headerBytes)));
  const entries = Object.entries(parseJsonObject(headerText, 'the safetensors header')).filter(
    ([name]) => name !== '__metadata__',
  );
  if (entries.length > SOURCE_LIMITS.numTensorsMax) {
    throw new ConvertError(
      'limit-exceeded',
      `the file claims ${entries.length} tensors; at most ${SOURCE_LIMITS.numTensorsMax} are read`,
    );
  }
  const tensors = entries.map(([name, entry]) => checkTensor(name, entry, file, fileBytes, dataOffset));
  refuseOverlaps(tensors);
  return tensors;
}

function checkTensor(
  name: string,
  entry: unknown,
  file: FileHandle,
  fileBytes: number,
  dataOffset: number,
): SourceTensor {
  const quoted = shown(name);
  const { dtype, shape, data_offsets: range } = (entry ?? {}) as Record<string, unknown>;
  const type = typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype] : undefined;
  if (type === undefined) {
    throw new ConvertError(
      'unsupported-tensor-type',
      `the tensor ${quoted} has the type ${shown(dtype)}; supported are ${Object.keys(DTYPES).join(', ')}`,
    );
  }
  if (!isSizes(shape) || shape.length === 0 || shape.length > SOURCE_LIMITS.numDimensionsMax) {
    throw new ConvertError('malformed', `the tensor ${quoted} has no proper shape`);
  }
  const [begin, end] = isSizes(range) && range.length === 2 ? range : [0, -1];
  const bytes = encodedBytes(
    type,
    shape.reduce((product, size) => product * size, 1),
  );
  // A product beyond 2^53 is no longer exact, but it is far beyond any file too.
  if (begin === undefined || end === undefined || end - begin !== bytes || bytes < 1 || dataOffset + end > fileBytes) {
    throw new ConvertError(
      'malformed',
      `the tensor ${quoted} of shape [${shape.join(', ')}] does not fit its place in the file; fetch it again`,
    );
  }
  return { name, shape, type, file, offset: dataOffset + begin, bytes };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
