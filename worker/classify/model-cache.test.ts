/** How often a gateway asks a classifier's object, and how much it keeps. */
import { describe, expect, it } from 'vitest';
import type { ClassifierModel } from '../../shards/classify/model.ts';
import { err, ok } from '../../shards/result.ts';
import { ManualClock } from '../../ops/testing/manual-clock.ts';
import type { ClassifierClient, ClassifierDirectory } from './classifier.ts';
import { MODEL_CACHE_BYTES_MAX, MODEL_FRESH_MS, ModelCache } from './model-cache.ts';

function modelOf(numBytes: number): ClassifierModel {
  const none = new Float32Array(0);
  return {
    kind: 'single',
    labels: [],
    featureRecipe: '',
    partSize: 4,
    means: none,
    scales: none,
    intercepts: none,
    weights: new Float32Array(numBytes / 4),
    temperature: 1,
    outOfScope: null,
    outOfScopeThreshold: 1,
  };
}

/** A directory whose classifiers have one version and so many bytes; null for one that is not there. */
class Directory implements Pick<ClassifierDirectory, 'classifier'> {
  readonly calls: string[] = [];
  latest: number | null = 1;
  numBytes = 4;

  classifier(tenant: string, id: string): ClassifierClient {
    const answer = <T>(kind: string, value: (version: number) => T) => {
      this.calls.push(`${kind} ${tenant}/${id}`);
      return Promise.resolve(this.latest === null ? err({ reason: 'unknown' }) : ok(value(this.latest)));
    };
    const model = modelOf(this.numBytes);
    return {
      model: () => answer('model', (version) => ({ version, model })),
      report: () => answer('report', (version) => ({ version })),
    } as unknown as ClassifierClient;
  }
}

function setUp() {
  const directory = new Directory();
  const clock = new ManualClock();
  return { directory, clock, cache: new ModelCache(directory as unknown as ClassifierDirectory, clock) };
}

describe('ModelCache', () => {
  it('fetches a model once, and asks whether it still holds when some seconds have gone by', async () => {
    const { directory, clock, cache } = setUp();
    await cache.find('t', 'a', null);
    await clock.wind(MODEL_FRESH_MS - 1);
    expect(await cache.find('t', 'a', null)).toMatchObject({ ok: true, value: { version: 1 } });
    expect(directory.calls).toEqual(['model t/a']);
    await clock.wind(1);
    await cache.find('t', 'a', null);
    await cache.find('t', 'a', null);
    expect(directory.calls).toEqual(['model t/a', 'report t/a']);
  });

  it('fetches a new version, and forgets what was removed', async () => {
    const { directory, clock, cache } = setUp();
    await cache.find('t', 'a', null);
    directory.latest = 2;
    await clock.wind(MODEL_FRESH_MS);
    expect(await cache.find('t', 'a', null)).toMatchObject({ value: { version: 2 } });
    directory.latest = null;
    await clock.wind(MODEL_FRESH_MS);
    expect(await cache.find('t', 'a', null)).toMatchObject({ ok: false, error: { reason: 'unknown' } });
    expect(cache.bytes).toBe(0);
  });

  it('keeps tenants, classifiers and pinned versions apart', async () => {
    const { directory, cache } = setUp();
    await cache.find('t', 'a', null);
    await cache.find('t', 'a', 1);
    await cache.find('u', 'a', null);
    cache.forget('t', 'a');
    await cache.find('u', 'a', null);
    await cache.find('t', 'a', 1);
    expect(directory.calls).toEqual(['model t/a', 'model t/a', 'model u/a', 'model t/a']);
  });

  it('drops the least recently used when it is full, and not before', async () => {
    const { directory, cache } = setUp();
    directory.numBytes = MODEL_CACHE_BYTES_MAX / 2;
    await cache.find('t', 'a', null);
    await cache.find('t', 'b', null);
    expect(cache.bytes).toBe(MODEL_CACHE_BYTES_MAX);
    await cache.find('t', 'a', null);
    directory.numBytes = 4;
    await cache.find('t', 'c', null);
    expect(cache.bytes).toBe(MODEL_CACHE_BYTES_MAX / 2 + 4);
    await cache.find('t', 'a', null);
    await cache.find('t', 'b', null);
    expect(directory.calls).toEqual(['model t/a', 'model t/b', 'model t/c', 'model t/b']);
  });
});
