/**
 * The unfinished download of one model: a `.part` file that grows, is hashed as it grows, survives a crash, and becomes
 * the model only when size and SHA-256 are right.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { commitFile, fileBytes } from '../support/files.ts';
import type { ModelEntry } from './registry.ts';

export type FinishResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

export class PartFile {
  readonly #finalPath: string;
  readonly #partPath: string;
  readonly #entry: Pick<ModelEntry, 'bytes' | 'sha256'>;
  #hash: Hash = createHash('sha256');
  #handle: FileHandle;
  #bytesWritten = 0;

  private constructor(
    finalPath: string,
    partPath: string,
    entry: Pick<ModelEntry, 'bytes' | 'sha256'>,
    handle: FileHandle,
  ) {
    this.#finalPath = finalPath;
    this.#partPath = partPath;
    this.#entry = entry;
    this.#handle = handle;
  }

  /** The part's name holds the expected hash: the part of another version of the file is never continued. */
  static partPath(finalPath: string, sha256: string): string {
    return `${finalPath}.${sha256.slice(0, 12)}.part`;
  }

  /** Opens the part, and reads again what an earlier run left in it, since a hash cannot be continued from its digest. */
  static async open(finalPath: string, entry: Pick<ModelEntry, 'bytes' | 'sha256'>): Promise<PartFile> {
    await mkdir(path.dirname(finalPath), { recursive: true });
    const partPath = PartFile.partPath(finalPath, entry.sha256);
    const leftBytes = (await fileBytes(partPath)) ?? 0;
    if (leftBytes > entry.bytes) {
      await rm(partPath);
    }
    const part = new PartFile(finalPath, partPath, entry, await open(partPath, 'a'));
    if (leftBytes > 0 && leftBytes <= entry.bytes) {
      for await (const chunk of createReadStream(partPath)) {
        const bytes = chunk as Uint8Array;
        part.#hash.update(bytes);
        part.#bytesWritten += bytes.length;
      }
    }
    return part;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Appends. Returns false when that would exceed the expected size: the source sends something else. */
  async append(bytes: Uint8Array): Promise<boolean> {
    if (this.#bytesWritten + bytes.length > this.#entry.bytes) {
      return false;
    }
    await this.#handle.appendFile(bytes);
    this.#hash.update(bytes);
    this.#bytesWritten += bytes.length;
    return true;
  }

  /** Starts again from nothing. */
  async reset(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = createHash('sha256');
    this.#bytesWritten = 0;
  }

  /** Checks size and hash. Right: the part becomes the model. Wrong: its contents are thrown away. */
  async finish(): Promise<FinishResult> {
    if (this.#bytesWritten !== this.#entry.bytes) {
      return { ok: false, reason: `it ended after ${this.#bytesWritten} of ${this.#entry.bytes} bytes` };
    }
    const sha256 = this.#hash.copy().digest('hex');
    if (sha256 !== this.#entry.sha256) {
      await this.reset();
      return { ok: false, reason: `its SHA-256 is ${sha256}, expected ${this.#entry.sha256}; the bytes were deleted` };
    }
    await this.#handle.close();
    await commitFile(this.#partPath, this.#finalPath);
    return { ok: true };
  }

  /** Closes and keeps what is there for the next run; an empty part is removed. Harmless after `finish`. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    if (this.#bytesWritten === 0) {
      await rm(this.#partPath, { force: true });
    }
  }
}
