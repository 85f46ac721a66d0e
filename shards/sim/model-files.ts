/** The files of a converted model in memory: what a stage loads at every start, without waiting for a disk. */
import { parseManifest } from '../model/parse-manifest.ts';
import { MANIFEST_FILE } from '../model/runtime-host.ts';
import type { Manifest } from '../model/manifest.ts';
import type { AssetSource } from '../platform/assets.ts';
import { sleep, type Clock } from '../platform/clock.ts';
import { assert } from '../../wasm/host/assert.ts';

/** Done at once, unlike the platform's: between two events of a simulation nothing may take real time. */
export type SyncSha256Hex = (bytes: Uint8Array) => string;

/** One release of a model. Stages of different releases refuse to work together. */
export interface ModelRelease {
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
}

export function releaseOf(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, sha256: SyncSha256Hex): ModelRelease {
  const bytes = files.get(MANIFEST_FILE);
  assert(bytes !== undefined, `the model has no ${MANIFEST_FILE}`);
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
  return { files, manifest, manifestSha256: sha256(bytes) };
}

/** The same weights under another manifest: what a deployment brings. */
export function nextRelease({ files }: ModelRelease, sha256: SyncSha256Hex): ModelRelease {
  const text = new TextDecoder().decode(files.get(MANIFEST_FILE));
  const changed = new TextEncoder().encode(`${text}\n`);
  return releaseOf(new Map([...files, [MANIFEST_FILE, changed]]), sha256);
}

/** @param latency of one file, in ms */
export function memoryAssets({ files }: ModelRelease, clock: Clock, latency: () => number): AssetSource {
  return {
    async open(name) {
      await sleep(clock, latency());
      const bytes = files.get(name);
      return bytes === undefined ? null : streamOf(bytes);
    },
  };
}

function streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}
