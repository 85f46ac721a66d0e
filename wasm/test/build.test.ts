import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildKernels } from '../build.ts';

describe('buildKernels', () => {
  it('builds once, again when the file was damaged, and leaves nothing half-written', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lamina-kernels-'));
    try {
      const { wasmPath, textPath, wasBuilt } = await buildKernels(folder);
      expect(wasBuilt).toBe(true);
      const wasm = await readFile(wasmPath);
      expect(WebAssembly.validate(wasm)).toBe(true);
      expect((await buildKernels(folder)).wasBuilt).toBe(false);
      expect((await stat(textPath)).size).toBeGreaterThan(wasm.length);
      await writeFile(wasmPath, wasm.subarray(0, wasm.length >> 1));
      expect((await buildKernels(folder)).wasBuilt).toBe(true);
      expect(await readFile(wasmPath)).toEqual(wasm);
      expect(await readdir(folder)).toHaveLength(3);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
