/** Reads the header of a GGUF file: its metadata and a checked table of its tensors. */
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { gguf, GGMLQuantizationType, type GGUFTensorInfo } from '@huggingface/gguf';
import { ConvertError } from '../convert-error.ts';
import { readExactly } from '../file-reads.ts';
import { SOURCE_LIMITS } from '../limits.ts';
import { refuseOverlaps, type SourceTensor } from '../model-source.ts';
import { encodedBytes, TENSOR_TYPES, type TensorType } from '../weights/tensor-types.ts';
import { GgufMetadata, type MetadataValue } from './metadata.ts';
import { HeaderIncomplete, walkGgufHeader, type HeaderWalk } from './walk-header.ts';

export interface GgufFile {
  readonly metadata: GgufMetadata;
  /** By name. */
  readonly tensors: ReadonlyMap<string, SourceTensor>;
}

/** Most headers are shorter than this; only files with a very large vocabulary are read a second time. */
const FIRST_PREFIX_BYTES = 4 * 1024 * 1024;
const DEFAULT_ALIGNMENT_BYTES = 32;

/**
 * @param filePath path of `file`, which the GGUF reader opens once more
 * @throws ConvertError for every file that is not a well-formed GGUF within `SOURCE_LIMITS`
 */
export async function readGguf(filePath: string, file: FileHandle, fileBytes: number): Promise<GgufFile> {
  const walk = await walkHeader(file, fileBytes);
  // An absolute path is never mistaken for a URL, which the reader would fetch.
  const parsed = await gguf(path.resolve(filePath), { allowLocalFile: true }).catch((cause: unknown) => {
    throw new ConvertError('malformed', `the GGUF header cannot be read: ${String(cause)}`, { cause });
  });
  if (parsed.tensorInfoByteRange[1] !== walk.endOffset) {
    throw new ConvertError('malformed', 'the GGUF header changed while it was read; fetch the file again');
  }
  const entries = new Map<string, MetadataValue>(Object.entries(parsed.metadata));
  await restoreLastStrings(entries, walk, file);
  const metadata = new GgufMetadata(entries);
  const alignment = alignmentOf(metadata);
  const dataOffset = Math.ceil(walk.endOffset / alignment) * alignment;
  const tensors = parsed.tensorInfos.map((info) => checkTensor(info, file, fileBytes, dataOffset, alignment));
  refuseOverlaps(tensors);
  return { metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

async function walkHeader(file: FileHandle, fileBytes: number): Promise<HeaderWalk> {
  for (const prefixBytesMax of [FIRST_PREFIX_BYTES, SOURCE_LIMITS.ggufHeaderBytesMax]) {
    const prefix = await readExactly(file, 0, Math.min(prefixBytesMax, fileBytes));
    try {
      return walkGgufHeader(prefix);
    } catch (error) {
      if (!(error instanceof HeaderIncomplete)) {
        throw error;
      }
      if (prefix.length === fileBytes) {
        throw new ConvertError('malformed', `the file ends inside its header, at byte ${fileBytes}; fetch it again`);
      }
    }
  }
  throw new ConvertError(
    'limit-exceeded',
    `the GGUF header is longer than ${SOURCE_LIMITS.ggufHeaderBytesMax} bytes; no supported model needs that`,
  );
}

/** The GGUF reader loses the end of a value's last string where it crosses the border of its read buffer. */
async function restoreLastStrings(entries: Map<string, MetadataValue>, walk: HeaderWalk, file: FileHandle) {
  for (const [key, { offset, bytes }] of walk.lastStrings) {
    const text = new TextDecoder().decode(await readExactly(file, offset, bytes));
    const value = entries.get(key);
    entries.set(key, Array.isArray(value) ? [...value.slice(0, -1), text] : text);
  }
}

function alignmentOf(metadata: GgufMetadata): number {
  const alignment = metadata.optionalInteger('general.alignment') ?? DEFAULT_ALIGNMENT_BYTES;
  const isPowerOfTwo = Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo || alignment > SOURCE_LIMITS.alignmentBytesMax) {
    throw new ConvertError('invalid-metadata', `general.alignment is ${alignment}, which is no sensible power of two`);
  }
  return alignment;
}

function checkTensor(
  info: GGUFTensorInfo,
  file: FileHandle,
  fileBytes: number,
  dataOffset: number,
  alignment: number,
): SourceTensor {
  const name = JSON.stringify(info.name);
  const type = tensorTypeOf(info);
  // The file stores the fastest dimension first. Big integers: the product of hostile dimensions overflows anything else.
  const shape = info.shape.toReversed();
  const numElements = shape.reduce((product, size) => product * size, 1n);
  if (numElements < 1n || numElements > BigInt(fileBytes) * 8n) {
    throw new ConvertError('malformed', `the tensor ${name} of shape [${shape.join(', ')}] cannot be in this file`);
  }
  if (Number(info.shape[0]) % type.groupElements !== 0) {
    throw new ConvertError('malformed', `the rows of ${name} are not whole groups of ${type.name}`);
  }
  const bytes = encodedBytes(type, Number(numElements)) ?? 0;
  const offset = BigInt(dataOffset) + info.offset;
  if (info.offset % BigInt(alignment) !== 0n) {
    throw new ConvertError('malformed', `the tensor ${name} starts at ${info.offset}, no multiple of ${alignment}`);
  }
  if (offset + BigInt(bytes) > BigInt(fileBytes)) {
    throw new ConvertError(
      'malformed',
      `the tensor ${name} ends at byte ${offset + BigInt(bytes)}, but the file has ${fileBytes}; fetch it again`,
    );
  }
  return { name: info.name, shape: shape.map(Number), type, file, offset: Number(offset), bytes };
}

function tensorTypeOf(info: GGUFTensorInfo): TensorType {
  const name: string | undefined = GGMLQuantizationType[info.dtype];
  if (name === undefined || !Object.hasOwn(TENSOR_TYPES, name)) {
    throw new ConvertError(
      'unsupported-tensor-type',
      `the tensor ${JSON.stringify(info.name)} has the type ${name ?? `number ${info.dtype}`}; supported are ${Object.keys(TENSOR_TYPES).join(', ')}`,
    );
  }
  return TENSOR_TYPES[name as keyof typeof TENSOR_TYPES];
}
