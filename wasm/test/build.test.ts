import { readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { buildKernels } from '../build.ts';

describe('buildKernels', () => {
  it('builds once, and again when the file was damaged', async () => {
    const { wasmPath, textPath } = await buildKernels();
    const wasm = await readFile(wasmPath);
    expect((await buildKernels()).wasBuilt).toBe(false);
    expect((await stat(textPath)).size).toBeGreaterThan(wasm.length);
    await writeFile(wasmPath, wasm.subarray(0, wasm.length >> 1));
    expect((await buildKernels()).wasBuilt).toBe(true);
    expect(await readFile(wasmPath)).toEqual(wasm);
  });
});
