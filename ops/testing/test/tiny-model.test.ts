import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encodeGguf } from '../gguf-writer.ts';
import { seededRandom } from '../seeded-random.ts';
import { tinyConfig, tinyGgufContent } from '../tiny-model.ts';
import { tinyVocabulary } from '../tiny-vocabulary.ts';
import { tinyWeights } from '../tiny-weights.ts';

describe('seededRandom', () => {
  it('repeats for a seed and differs between seeds', () => {
    const draw = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 8 }, () => random.uniform());
    };
    expect(draw(5)).toEqual(draw(5));
    expect(new Set([...draw(5), ...draw(6)]).size).toBe(16);
  });

  it('is uniform and bell-shaped as it says', () => {
    const random = seededRandom(1);
    const uniform = Array.from({ length: 20_000 }, () => random.uniform());
    const normal = Array.from({ length: 20_000 }, () => random.normal());
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(uniform)).toBeCloseTo(0.5, 1);
    expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniform)).toBeLessThan(1);
    expect(mean(normal)).toBeCloseTo(0, 1);
    expect(mean(normal.map((value) => value ** 2))).toBeCloseTo(1, 1);
  });
});

it('the vocabulary has 300 different tokens, and every merge joins two of them into a third', () => {
  const { tokens, merges } = tinyVocabulary();
  expect(tokens).toHaveLength(300);
  expect(new Set(tokens).size).toBe(300);
  for (const merge of merges) {
    const [left = '', right = ''] = merge.split(' ');
    expect([left, right, left + right].every((token) => tokens.includes(token))).toBe(true);
  }
});

it('the same options give the same file, and every option another one', () => {
  const file = (options: Parameters<typeof tinyGgufContent>[0]): string =>
    createHash('sha256')
      .update(encodeGguf(tinyGgufContent(options)))
      .digest('hex');
  expect(file({})).toBe(file({ architecture: 'llama', tied: true, seed: 1, layerType: 'Q4_1', embeddingType: 'Q8_0' }));
  const variants = [
    {},
    { architecture: 'qwen2' },
    { tied: false },
    { seed: 2 },
    { layerType: 'F32' },
    { embeddingType: 'F16' },
    { shape: { numLayers: 2 } },
  ] as const;
  expect(new Set(variants.map(file)).size).toBe(variants.length);
});

it('neighbouring rows of a llama query head are the two that one rotation mixes', () => {
  const config = tinyConfig();
  const original = tinyWeights(config).find(({ name }) => name === 'layers.0.qProj')?.values ?? new Float32Array();
  const stored = tinyGgufContent({ layerType: 'F32' }).tensors.find(({ name }) => name === 'blk.0.attn_q.weight');
  const values = new Float32Array(stored?.data.slice().buffer ?? new ArrayBuffer());
  const row = (from: Float32Array, index: number): number[] => [...from.subarray(index * 64, (index + 1) * 64)];
  // The second head, rows 16 to 31: rows 0 and 8 of it, then 1 and 9.
  expect(row(values, 16)).toEqual(row(original, 16));
  expect(row(values, 17)).toEqual(row(original, 24));
  expect(row(values, 18)).toEqual(row(original, 17));
  expect(row(values, 19)).toEqual(row(original, 25));
});
