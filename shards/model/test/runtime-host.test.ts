import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createStageRuntime } from '../../../wasm/host/stage-runtime.ts';
import { loadKernels } from '../../../wasm/build.ts';
import type { AssetSource } from '../../platform/assets.ts';
import { systemEntropy } from '../../platform/system.ts';
import { tinyRings } from '../../test/tiny-ring.ts';
import { LEASE_STALE_MS, LOAD_STALL_MS, MANIFEST_BYTES_MAX, RuntimeHost } from '../runtime-host.ts';
import type { Sha256Hex } from '../weight-loader.ts';

const rings = await tinyRings();
const kernels = await loadKernels();
const { assignments } = await rings.open();

/** A clock that stands still but for what a test and the code's own waits add. */
class WoundClock {
  now = 0;
  nowMs = (): number => this.now;
  startTimer = (delayMs: number, callback: () => void): { cancel(): void } => {
    const handle = setImmediate(() => {
      this.now += delayMs;
      callback();
    });
    return { cancel: () => clearImmediate(handle) };
  };
  yieldToEvents = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
}

function createHost(
  overrides: Partial<(typeof assignments)[number]> = {},
  sha256?: Sha256Hex,
): { host: RuntimeHost; clock: WoundClock } {
  const clock = new WoundClock();
  const assignment = { ...(assignments[0] as (typeof assignments)[number]), ...overrides };
  const host = new RuntimeHost({
    assignment,
    createRuntime: (options) => createStageRuntime(kernels, options),
    clock,
    entropy: systemEntropy,
    ...(sha256 && { sha256 }),
  });
  return { host, clock };
}

function countingAssets(): AssetSource & { opened: string[] } {
  const opened: string[] = [];
  return {
    opened,
    open(name) {
      opened.push(name);
      return rings.assets.open(name);
    },
  };
}

const hexOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function cut(bytes: Uint8Array<ArrayBuffer>, numPieces: number): Uint8Array<ArrayBuffer>[] {
  const pieceBytes = Math.ceil(bytes.length / numPieces);
  return Array.from({ length: numPieces }, (_, i) => bytes.slice(i * pieceBytes, (i + 1) * pieceBytes));
}

function logitsOf(lease: Awaited<ReturnType<RuntimeHost['acquire']>>): Float32Array {
  expect(lease.ok).toBe(true);
  const { runtime } = (lease as Extract<typeof lease, { ok: true }>).value;
  runtime.embed([5, 6, 7]);
  runtime.forward([{ startPosition: 0, numTokens: 3, pageTable: [0] }]);
  return runtime.logits([2]).slice();
}

describe('RuntimeHost', () => {
  it('loads once for all owners, and lends to one at a time', async () => {
    const { host, clock } = createHost();
    const assets = countingAssets();
    const first = await host.acquire('a', assets);
    const numOpened = assets.opened.length;
    expect(await host.acquire('b', assets)).toMatchObject({ ok: false, error: { code: 'busy', retryable: true } });
    host.release('b');
    expect(await host.acquire('b', assets)).toMatchObject({ error: { code: 'busy' } });
    host.release('a');
    const second = await host.acquire('b', assets);
    expect(assets.opened).toHaveLength(numOpened);
    expect(first.ok && second.ok && first.value.runtime === second.value.runtime).toBe(true);
    clock.now += LEASE_STALE_MS - 1;
    expect(await host.acquire('c', assets)).toMatchObject({ error: { code: 'busy' } });
    clock.now += 1;
    expect(await host.acquire('c', assets)).toMatchObject({ ok: true });
  });

  it('keeps a lease alive that is used', async () => {
    const { host, clock } = createHost();
    await host.acquire('a', rings.assets);
    clock.now += LEASE_STALE_MS - 1;
    host.touch('a', clock.nowMs());
    clock.now += LEASE_STALE_MS - 1;
    expect(await host.acquire('b', rings.assets)).toMatchObject({ error: { code: 'busy' } });
  });

  it('says by the generation whether the pages are still the same', async () => {
    const { host } = createHost();
    const generationOf = async (owner: string): Promise<number> => {
      const acquired = await host.acquire(owner, rings.assets);
      host.release(owner);
      return acquired.ok ? acquired.value.kvGeneration : -1;
    };
    const first = await generationOf('a');
    expect(await generationOf('a')).toBe(first);
    expect(await generationOf('b')).not.toBe(first);
    const second = await generationOf('a');
    expect(second).not.toBe(first);
    host.invalidateContents('b');
    expect(await generationOf('a')).toBe(second);
    host.invalidateContents('a');
    expect(await generationOf('a')).not.toBe(second);
    expect(first).toBeGreaterThan(0);
  });

  it('takes a load over that gets nothing any more, which then writes nothing', async () => {
    const { host, clock } = createHost();
    const opened: ReadableStreamDefaultController<Uint8Array>[] = [];
    const stuck: AssetSource = {
      open: (name) =>
        name === 'manifest.json'
          ? rings.assets.open(name)
          : Promise.resolve(new ReadableStream({ start: (controller) => void opened.push(controller) })),
    };
    const overtaken = host.acquire('a', stuck);
    await expect.poll(() => opened.length).toBeGreaterThan(0);
    const taken = await host.acquire('a', rings.assets);
    expect(clock.now).toBeGreaterThanOrEqual(LOAD_STALL_MS);
    opened.forEach((controller) => controller.enqueue(new Uint8Array(1000).fill(0xff)));
    expect(await overtaken).toMatchObject({ ok: false, error: { code: 'weights', retryable: true } });
    // The one that was overtaken has not given the other's lease back.
    expect(await host.acquire('b', rings.assets)).toMatchObject({ ok: false, error: { code: 'busy' } });
    const untouched = await createHost().host.acquire('a', rings.assets);
    expect(logitsOf(taken)).toEqual(logitsOf(untouched));
  });

  it('waits for a load that is slow', async () => {
    // Files are read before, and hashed at once, since the clock goes on while a thread of the pool works.
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    const reading: AssetSource = {
      async open(name) {
        const bytes = await new Response(await rings.assets.open(name)).bytes();
        files.set(name, bytes);
        return new Response(bytes).body;
      },
    };
    await createHost().host.acquire('a', reading);
    const { host, clock } = createHost({}, hexOf);
    const opened: string[] = [];
    const slow: AssetSource = {
      open(name) {
        opened.push(name);
        const pieces = cut(files.get(name) ?? new Uint8Array(0), 8).values();
        const stream = new ReadableStream<Uint8Array>({
          async pull(controller) {
            await new Promise<void>((resolve) => clock.startTimer(LOAD_STALL_MS / 16, resolve));
            const { done, value } = pieces.next();
            return done === true ? controller.close() : controller.enqueue(value);
          },
        });
        return Promise.resolve(stream);
      },
    };
    const [first, second] = await Promise.all([host.acquire('a', slow), host.acquire('a', slow)]);
    expect(first.ok && second.ok).toBe(true);
    expect(clock.now).toBeGreaterThan(LOAD_STALL_MS);
    expect(new Set(opened).size).toBe(opened.length);
  });

  it('does not ask to try again where only a deployment helps', async () => {
    const assetsWith = (manifest: Uint8Array<ArrayBuffer> | null): AssetSource => ({
      open: () => Promise.resolve(manifest && new Response(manifest).body),
    });
    const failures = [
      await createHost().host.acquire('a', assetsWith(null)),
      await createHost().host.acquire('a', assetsWith(new TextEncoder().encode('{}'))),
      await createHost().host.acquire('a', assetsWith(new Uint8Array(MANIFEST_BYTES_MAX + 1))),
      await createHost({ layerEnd: 99 }).host.acquire('a', rings.assets),
    ];
    for (const failure of failures) {
      expect(failure).toMatchObject({ ok: false, error: { code: 'weights', retryable: false } });
    }
    const unreachable: AssetSource = { open: () => Promise.reject(new Error('no answer')) };
    expect(await createHost().host.acquire('a', unreachable)).toMatchObject({ error: { retryable: true } });
  });

  it('checks manifest and weights with the digest that it is given', async () => {
    expect((await createHost({}, hexOf).host.acquire('a', rings.assets)).ok).toBe(true);
    const failed = await createHost({}, () => 'no digest').host.acquire('a', rings.assets);
    expect(failed).toMatchObject({ ok: false, error: { code: 'weights', retryable: false } });
    const manifestOnly = (bytes: Uint8Array): string => (bytes[0] === 0x7b ? hexOf(bytes) : 'no digest');
    expect(await createHost({}, manifestOnly).host.acquire('a', rings.assets)).toMatchObject({ ok: false });
  });
});
