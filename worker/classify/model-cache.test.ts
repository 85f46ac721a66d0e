/** How often a gateway asks a classifier's object, and how much it keeps. */
import { describe, expect, it } from 'vitest';
import type { ClassifierModel } from '../../shards/classify/model.ts';
import { err, ok } from '../../shards/result.ts';
import { ManualClock } from '../../ops/testing/manual-clock.ts';
import type { ClassifierClient, ClassifierDirectory, ClassifierSnapshot } from './classifier.ts';
import { MODEL_CACHE_BYTES_MAX, MODEL_FRESH_MS, MODEL_TRUST_MS, ModelCache } from './model-cache.ts';

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
  isReachable = true;

  classifier(tenant: string, id: string): ClassifierClient {
    const answer = async <T>(kind: string, value: (version: number) => T) => {
      this.calls.push(`${kind} ${tenant}/${id}`);
      // As a call to another isolate: what is asked is not known at once.
      await Promise.resolve();
      if (!this.isReachable) {
        throw new Error('the object was reset');
      }
      return this.latest === null ? err({ reason: 'unknown' }) : ok(value(this.latest));
    };
    const model = modelOf(this.numBytes);
    return {
      model: () => answer('model', (version) => ({ version, model })),
      versionNumber: () => answer('version', (version) => version),
    } as unknown as ClassifierClient;
  }
}

function setUp() {
  const directory = new Directory();
  const clock = new ManualClock();
  const cache = new ModelCache(directory as unknown as ClassifierDirectory, clock);
  /** The version that answers, as a request finds it that reads its texts meanwhile. */
  const answering = async (id = 'a', version: number | null = null, tenant = 't'): Promise<number | string> => {
    const found = await cache.find(tenant, id, version);
    const confirmed = found.ok ? await (found.value.confirmed ?? ok(found.value.served)) : found;
    return confirmed.ok ? confirmed.value.version : confirmed.error.reason;
  };
  const snapshot = (version: number, versions: readonly number[]) =>
    ({ id: 'a', version, versions: versions.map((number) => ({ version: number })) }) as unknown as ClassifierSnapshot;
  return { directory, clock, cache, answering, snapshot };
}

describe('ModelCache', () => {
  it('fetches a model once, and asks whether it still holds when a second has gone by', async () => {
    const { directory, clock, answering } = setUp();
    await answering();
    await clock.wind(MODEL_FRESH_MS - 1);
    expect(await answering()).toBe(1);
    expect(directory.calls).toEqual(['model t/a']);
    await clock.wind(1);
    await answering();
    await answering();
    expect(directory.calls).toEqual(['model t/a', 'version t/a']);
  });

  it('asks while the caller goes on, and answers with the version that is named', async () => {
    const { directory, clock, cache, answering } = setUp();
    await answering();
    await clock.wind(MODEL_FRESH_MS);
    directory.latest = 2;
    const found = await cache.find('t', 'a', null);
    expect(found).toMatchObject({ ok: true, value: { served: { version: 1 } } });
    expect(directory.calls).toEqual(['model t/a', 'version t/a']);
    expect(found.ok && (await found.value.confirmed)).toMatchObject({ ok: true, value: { version: 2 } });
    expect(await answering()).toBe(2);
    expect(directory.calls).toEqual(['model t/a', 'version t/a', 'model t/a']);
  });

  it('does not answer for what was removed', async () => {
    const { directory, clock, cache, answering } = setUp();
    await answering();
    directory.latest = null;
    await clock.wind(MODEL_FRESH_MS);
    expect(await answering()).toBe('unknown');
    expect(cache.bytes).toBe(0);
  });

  it('answers from memory for some seconds while the object cannot be reached', async () => {
    const { directory, clock, answering } = setUp();
    await answering();
    directory.isReachable = false;
    await clock.wind(MODEL_TRUST_MS - 1);
    expect(await answering()).toBe(1);
    await clock.wind(1);
    await expect(answering()).rejects.toThrow('the object was reset');
    directory.isReachable = true;
    expect(await answering()).toBe(1);
  });

  it('learns from what passes by: a version that was seen, and versions that are gone', async () => {
    const { directory, cache, answering, snapshot } = setUp();
    await answering();
    await answering('a', 1);
    cache.learn('t', snapshot(1, [1]));
    cache.learn('u', snapshot(2, [2]));
    expect(directory.calls).toHaveLength(2);
    await answering();
    expect(directory.calls).toHaveLength(2);
    directory.latest = 2;
    cache.learn('t', snapshot(2, [1, 2]));
    expect(await answering('a', 1)).toBe(1);
    expect(directory.calls).toHaveLength(2);
    expect(await answering()).toBe(2);
    cache.learn('t', snapshot(2, [2]));
    await answering('a', 1);
    expect(directory.calls).toHaveLength(4);
  });

  it('keeps tenants, classifiers and pinned versions apart', async () => {
    const { directory, cache, answering } = setUp();
    await answering();
    await answering('a', 1);
    await answering('a', null, 'u');
    cache.forget('t', 'a');
    await answering('a', null, 'u');
    await answering('a', 1);
    expect(directory.calls).toEqual(['model t/a', 'model t/a', 'model u/a', 'model t/a']);
  });

  it('drops the least recently used when it is full, and not before', async () => {
    const { directory, cache, answering } = setUp();
    directory.numBytes = MODEL_CACHE_BYTES_MAX / 2;
    await answering('a');
    await answering('b');
    expect(cache.bytes).toBe(MODEL_CACHE_BYTES_MAX);
    await answering('a');
    directory.numBytes = 4;
    await answering('c');
    expect(cache.bytes).toBe(MODEL_CACHE_BYTES_MAX / 2 + 4);
    await answering('a');
    await answering('b');
    expect(directory.calls).toEqual(['model t/a', 'model t/b', 'model t/c', 'model t/b']);
  });
});
