import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/** Types are gone when a script is bundled. */
const isBundled = (line: string): boolean => !line.startsWith('import type ');

const WORKER = path.join(import.meta.dirname, '..');

describe('imports of the gateway', () => {
  it('take zod as a namespace: by name it brings all its languages and bundles to five times the size', async () => {
    const files = (await readdir(WORKER, { recursive: true })).filter((file) => file.endsWith('.ts'));
    const imports: string[] = [];
    for (const file of files) {
      const source = await readFile(path.join(WORKER, file), 'utf8');
      imports.push(...(source.match(/^import .* from 'zod';$/gm) ?? []).filter(isBundled));
    }
    expect(imports.length).toBeGreaterThan(0);
    expect(new Set(imports)).toEqual(new Set(["import * as z from 'zod';"]));
  });
});
