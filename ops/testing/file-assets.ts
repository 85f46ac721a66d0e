import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { AssetSource } from '../../shards/platform/assets.ts';

/** The files of a converted model's folder, as a stage sees its static assets. */
export function fileAssets(dir: string): AssetSource {
  return {
    async open(name) {
      const file = path.join(dir, name);
      try {
        await access(file);
      } catch {
        return null;
      }
      return Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>;
    },
  };
}
