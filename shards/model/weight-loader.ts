/**
 * Streams the weights of a stage from their files straight to where the kernels read them. Chunks are written as they
 * arrive: no file is ever held whole, which an isolate of 128 MB could not afford.
 */
import { openChunks, type AssetSource } from '../platform/assets.ts';
import type { Manifest, ManifestTensor, StageFile } from './manifest.ts';

export type WeightLoadErrorCode =
  /** The manifest and the model's shape disagree, or an extent lies outside of its file or tensor. */
  'bad_manifest' | 'file_missing' | 'file_length' | 'hash_mismatch';

/** The files are not the ones that the manifest describes: convert the model again, or deploy it again. */
export class WeightLoadError extends Error {
  override readonly name = 'WeightLoadError';
  readonly code: WeightLoadErrorCode;

  constructor(code: WeightLoadErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** SHA-256 of bytes, as lower-case hex. A simulator passes one that is done at once: its time stands still meanwhile. */
export type Sha256Hex = (bytes: Uint8Array<ArrayBuffer>) => string | Promise<string>;

/** Workers allow six connections that wait for their headers; two are left for links and control calls. */
export const FETCHES_IN_FLIGHT_MAX = 4;

export interface LoadWeightsOptions {
  readonly manifest: Manifest;
  readonly layerStart: number;
  readonly layerEnd: number;
  readonly isHead: boolean;
  readonly assets: AssetSource;
  /** Where the bytes of a tensor go; exactly their number. */
  readonly weightView: (tensorName: string) => Uint8Array<ArrayBuffer>;
  /** Default: that of the platform. */
  readonly sha256?: Sha256Hex;
  /** Called for each piece that came, before it is written. The load ends with what it throws. */
  readonly onProgress?: () => void;
}

/** A run of a file's bytes and the memory that it fills. */
interface Segment {
  readonly offset: number;
  readonly destination: Uint8Array<ArrayBuffer>;
}

interface TensorLoad {
  readonly tensor: ManifestTensor;
  readonly view: Uint8Array<ArrayBuffer>;
  numFilesMissing: number;
}

/**
 * Loads and checks every tensor of the layers `[layerStart, layerEnd)`, and of the head if it is one. The hash is taken
 * of each tensor where it lies in memory, so a misplaced extent is found just as a corrupted file is.
 * @throws WeightLoadError; whatever the asset source throws.
 */
export async function loadWeights(options: LoadWeightsOptions): Promise<void> {
  const { manifest, layerStart, layerEnd, isHead, assets, sha256 = sha256Hex, onProgress = () => {} } = options;
  const isNeeded = ({ part }: StageFile): boolean => (part === 'head' ? isHead : part >= layerStart && part < layerEnd);
  const files = manifest.files.filter(isNeeded);
  const tensorsByFile = planFiles(files, options);
  const queue = files.values();
  const worker = async (): Promise<void> => {
    for (const file of queue) {
      const { segments, tensors } = tensorsByFile.get(file.name) as FilePlan;
      await readFile(file, segments, assets, onProgress);
      for (const load of tensors) {
        load.numFilesMissing--;
        if (load.numFilesMissing === 0) {
          await verifyTensor(load, sha256);
          onProgress();
        }
      }
    }
  };
  await Promise.all(Array.from({ length: FETCHES_IN_FLIGHT_MAX }, worker));
}

interface FilePlan {
  readonly segments: Segment[];
  readonly tensors: Set<TensorLoad>;
}

/** Lays the manifest's extents over the tensors' memory; every byte of every tensor is covered once. */
function planFiles(files: readonly StageFile[], options: LoadWeightsOptions): Map<string, FilePlan> {
  const plans = new Map<string, FilePlan>(files.map(({ name }) => [name, { segments: [], tensors: new Set() }]));
  for (const tensor of options.manifest.tensors) {
    if (!tensor.extents.some(({ file }) => plans.has(file))) {
      continue;
    }
    const view = options.weightView(tensor.name);
    const load: TensorLoad = { tensor, view, numFilesMissing: new Set(tensor.extents.map(({ file }) => file)).size };
    let tensorOffset = 0;
    for (const { file, offset, bytes } of tensor.extents) {
      const plan = plans.get(file);
      if (plan === undefined) {
        throw new WeightLoadError('bad_manifest', `tensor ${tensor.name} lies in files of different parts`);
      }
      plan.segments.push({ offset, destination: view.subarray(tensorOffset, tensorOffset + bytes) });
      plan.tensors.add(load);
      tensorOffset += bytes;
    }
    if (tensorOffset !== view.byteLength) {
      const message = `tensor ${tensor.name} has ${tensorOffset} bytes, its shape needs ${view.byteLength}`;
      throw new WeightLoadError('bad_manifest', message);
    }
  }
  for (const file of files) {
    sortSegments(file, (plans.get(file.name) as FilePlan).segments);
  }
  return plans;
}

/** Puts segments in the order in which the bytes arrive, and refuses overlaps and overruns. */
function sortSegments(file: StageFile, segments: Segment[]): void {
  segments.sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { offset, destination } of segments) {
    if (offset < end) {
      throw new WeightLoadError('bad_manifest', `two tensors overlap at byte ${offset} of ${file.name}`);
    }
    end = offset + destination.byteLength;
  }
  if (end > file.bytes) {
    throw new WeightLoadError('bad_manifest', `a tensor ends at byte ${end} of ${file.name}, which has ${file.bytes}`);
  }
}

async function readFile(
  file: StageFile,
  segments: readonly Segment[],
  assets: AssetSource,
  onProgress: () => void,
): Promise<void> {
  const stream = await assets.open(file.name);
  if (stream === null) {
    throw new WeightLoadError('file_missing', `weights file ${file.name} does not exist`);
  }
  const reader = openChunks(stream);
  let fileOffset = 0;
  let segmentIndex = 0;
  for (;;) {
    const chunk = await reader.read();
    if (chunk === null) {
      break;
    }
    onProgress();
    const chunkEnd = fileOffset + chunk.byteLength;
    if (chunkEnd > file.bytes) {
      await reader.cancel();
      throw new WeightLoadError('file_length', `weights file ${file.name} is longer than its ${file.bytes} bytes`);
    }
    for (; segmentIndex < segments.length; segmentIndex++) {
      const segment = segments[segmentIndex] as Segment;
      writeOverlap(segment, fileOffset, chunk);
      if (segment.offset + segment.destination.byteLength > chunkEnd) {
        break;
      }
    }
    fileOffset = chunkEnd;
  }
  if (fileOffset !== file.bytes) {
    const message = `weights file ${file.name} ends after ${fileOffset} of ${file.bytes} bytes`;
    throw new WeightLoadError('file_length', message);
  }
}

/** Copies the bytes that a chunk, which starts at `chunkOffset` of the file, and a segment have in common. */
function writeOverlap({ offset, destination }: Segment, chunkOffset: number, chunk: Uint8Array): void {
  const start = Math.max(offset, chunkOffset);
  const end = Math.min(offset + destination.byteLength, chunkOffset + chunk.byteLength);
  if (start < end) {
    destination.set(chunk.subarray(start - chunkOffset, end - chunkOffset), start - offset);
  }
}

async function verifyTensor({ tensor, view }: TensorLoad, sha256: Sha256Hex): Promise<void> {
  const digest = await sha256(view);
  if (digest !== tensor.sha256) {
    const message = `tensor ${tensor.name} has SHA-256 ${digest}, the manifest says ${tensor.sha256}`;
    throw new WeightLoadError('hash_mismatch', message);
  }
}

/** Lower-case hex. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
