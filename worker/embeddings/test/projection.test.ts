import { describe, expect, it } from 'vitest';
import { createProjections, EmbeddingProjection } from '../projection.ts';
import { projectionFile } from './projection-file.ts';

const SHAPE = { model: 'tiny', hiddenSize: 12, dimensions: 5 };
const FEATURES = Float32Array.from({ length: SHAPE.hiddenSize }, (_, at) => Math.cos(at) * 3);

const withField = (overrides: object, model = SHAPE.model) =>
  new EmbeddingProjection(JSON.stringify({ ...projectionFile(SHAPE), ...overrides }), model);

function decode(text: unknown): number[] {
  const bytes = Uint8Array.from(atob(text as string), (character) => character.charCodeAt(0));
  return [...new Float32Array(bytes.buffer)];
}

function toUnit(vector: readonly number[]): number[] {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / length);
}

describe('an embedding projection', () => {
  it('standardises, centres, projects and scales to length 1', () => {
    const file = projectionFile(SHAPE);
    const [mean, deviation, centre, scales] = ['mean', 'deviation', 'centre', 'scales'].map((name) =>
      decode(file[name]),
    );
    const quants = Int8Array.from(atob(file['quants'] as string), (character) => character.charCodeAt(0));
    const scaled = toUnit([...FEATURES].map((value, at) => (value - (mean?.[at] ?? 0)) / (deviation?.[at] ?? 1)));
    const expected = toUnit(
      Array.from({ length: SHAPE.dimensions }, (_, row) =>
        scaled.reduce((sum, value, at) => {
          const weight = (quants[row * SHAPE.hiddenSize + at] ?? 0) * (scales?.[row] ?? 0);
          return sum + (value - (centre?.[at] ?? 0)) * weight;
        }, 0),
      ),
    );
    const embedding = withField({}).project(FEATURES, SHAPE.dimensions);
    for (const [at, value] of expected.entries()) {
      expect(embedding[at]).toBeCloseTo(value, 5);
    }
  });

  it('of fewer dimensions is the beginning of the whole one, of length 1 again', () => {
    const whole = [...withField({}).project(FEATURES, SHAPE.dimensions)];
    const short = withField({}).project(FEATURES, 2);
    for (const [at, value] of toUnit(whole.slice(0, 2)).entries()) {
      expect(short[at]).toBeCloseTo(value, 5);
    }
  });

  it('is refused when it is another model’s or does not fit together', () => {
    expect(() => withField({}, 'other')).toThrow('The projection of other is one of tiny');
    expect(() => withField({ dimensions: 4 })).toThrow('do not fit together');
    expect(() => withField({ centre: 'AAAA' })).toThrow('no whole number of floats');
    expect(() => withField({ format: 2 })).toThrow('format');
    expect(() => withField({ quants: '!' })).toThrow('quants');
  });

  it('is read once, and again after a failure', async () => {
    const reads: string[] = [];
    const projections = createProjections((path) => {
      reads.push(path);
      return reads.length === 1
        ? Promise.reject(new Error('missing'))
        : Promise.resolve(JSON.stringify(projectionFile(SHAPE)));
    });
    await expect(projections('/p.json', 'tiny')).rejects.toThrow('missing');
    const [first, second] = await Promise.all([projections('/p.json', 'tiny'), projections('/p.json', 'tiny')]);
    expect(second).toBe(first);
    expect(reads).toHaveLength(2);
  });
});
