/** Writes packed tensors into stage files and records where everything went. */
import { createHash, type Hash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import {
  EXTENT_ALIGNMENT_BYTES,
  STAGE_FILE_BYTES_MAX,
  type ManifestTensor,
  type StageFile,
  type TensorExtent,
} from '../../shards/model/manifest.ts';
import type { TensorSpec } from '../../wasm/host/model-config.ts';

/** Files of the head are smaller: it loads the most, and a smaller file is ready to be checked and copied sooner. */
const HEAD_FILE_BYTES_MAX = 8 * 1024 * 1024;

interface OpenFile {
  readonly name: string;
  readonly part: number | 'head';
  readonly handle: FileHandle;
  readonly hash: Hash;
  bytes: number;
}

interface OpenTensor {
  readonly spec: TensorSpec;
  readonly hash: Hash;
  readonly extents: TensorExtent[];
}

/**
 * Call `beginTensor`, `write` any number of times and `endTensor` for each tensor, parts in ascending order, then `finish`.
 * A file holds tensors of one part only; a part that does not fit continues in another file, cut wherever it must be.
 */
export class StageFileWriter {
  readonly #dir: string;
  readonly #files: StageFile[] = [];
  readonly #tensors: ManifestTensor[] = [];
  #file: OpenFile | null = null;
  #tensor: OpenTensor | null = null;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async beginTensor(spec: TensorSpec, part: number | 'head'): Promise<void> {
    this.#tensor = { spec, hash: createHash('sha256'), extents: [] };
    if (this.#file?.part !== part) {
      await this.#openFile(part, 0);
    }
    const padding = -(this.#file?.bytes ?? 0) & (EXTENT_ALIGNMENT_BYTES - 1);
    await this.#append(new Uint8Array(padding));
  }

  /** Appends bytes of the tensor begun last. */
  async write(bytes: Uint8Array): Promise<void> {
    const tensor = this.#tensor;
    if (tensor === null || this.#file === null) {
      throw new Error('write was called outside of a tensor');
    }
    tensor.hash.update(bytes);
    for (let done = 0; done < bytes.length;) {
      const file: OpenFile = this.#file;
      const room = fileBytesMax(file.part) - file.bytes;
      if (room <= 0) {
        await this.#openFile(file.part, this.#indexInPart(file.part));
        continue;
      }
      const piece = bytes.subarray(done, done + room);
      extend(tensor.extents, file.name, file.bytes, piece.length);
      await this.#append(piece);
      done += piece.length;
    }
  }

  endTensor(): void {
    const tensor = this.#tensor;
    if (tensor === null) {
      throw new Error('endTensor was called outside of a tensor');
    }
    const { name, shape, format } = tensor.spec;
    this.#tensors.push({ name, shape, format, sha256: tensor.hash.digest('hex'), extents: tensor.extents });
    this.#tensor = null;
  }

  async finish(): Promise<{ files: readonly StageFile[]; tensors: readonly ManifestTensor[] }> {
    await this.#closeFile();
    return { files: this.#files, tensors: this.#tensors };
  }

  /** Closes what is open without recording it; for the way out after an error. */
  async abandon(): Promise<void> {
    await this.#file?.handle.close();
    this.#file = null;
  }

  #indexInPart(part: number | 'head'): number {
    return this.#files.filter((file) => file.part === part).length + 1;
  }

  async #openFile(part: number | 'head', indexInPart: number): Promise<void> {
    await this.#closeFile();
    const partName = part === 'head' ? part : `layer-${String(part).padStart(3, '0')}`;
    const name = `${partName}-${String(indexInPart).padStart(2, '0')}.bin`;
    const handle = await open(path.join(this.#dir, name), 'wx');
    this.#file = { name, part, handle, hash: createHash('sha256'), bytes: 0 };
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    if (file === null) {
      return;
    }
    this.#file = null;
    await file.handle.close();
    this.#files.push({ name: file.name, bytes: file.bytes, sha256: file.hash.digest('hex'), part: file.part });
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file === null || bytes.length === 0) {
      return;
    }
    file.hash.update(bytes);
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.handle.write(bytes, done);
      done += bytesWritten;
    }
    file.bytes += bytes.length;
  }
}

function fileBytesMax(part: number | 'head'): number {
  return part === 'head' ? HEAD_FILE_BYTES_MAX : STAGE_FILE_BYTES_MAX;
}

/** Adds bytes to the last extent where they follow it, else starts a new one. */
function extend(extents: TensorExtent[], file: string, offset: number, bytes: number): void {
  const last = extents.at(-1);
  if (last !== undefined && last.file === file && last.offset + last.bytes === offset) {
    extents[extents.length - 1] = { ...last, bytes: last.bytes + bytes };
  } else {
    extents.push({ file, offset, bytes });
  }
}
