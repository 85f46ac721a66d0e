/** Two replicas whose heads share an isolate: one has its memory at a time, and each knows what became of its pages. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { createStageRuntime } from '../../../wasm/host/stage-runtime.ts';
import type { StageAssignment } from '../../model/assignment.ts';
import { RuntimeHost } from '../../model/runtime-host.ts';
import { MemoryPageStore } from '../../platform/memory-page-store.ts';
import { systemClock, systemEntropy } from '../../platform/system.ts';
import { tinyRings } from '../../test/tiny-ring.ts';
import { RingHead } from '../ring-head.ts';

const rings = await tinyRings();
const kernels = await loadKernels();
const assignment = (await rings.open()).assignments[0] as StageAssignment;

function createHeads(): [RingHead, RingHead] {
  const host = new RuntimeHost({
    assignment,
    createRuntime: (options) => createStageRuntime(kernels, options),
    clock: systemClock,
    entropy: systemEntropy,
  });
  const createHead = (owner: string): RingHead =>
    new RingHead({
      assignment,
      owner,
      host,
      assets: rings.assets,
      stages: [],
      connectNext: () => Promise.reject(new Error('a ring of one has no successor')),
      clock: systemClock,
      entropy: systemEntropy,
      pageStore: new MemoryPageStore({ clock: systemClock }),
    });
  return [createHead('a'), createHead('b')];
}

describe('two heads in one isolate', () => {
  it('take turns', async () => {
    const [first, second] = createHeads();
    expect(await first.open()).toEqual({ ok: true, value: { kvKept: false } });
    expect(await second.open()).toMatchObject({ ok: false, error: { code: 'busy', retryable: true } });
    expect(second.isOpen).toBe(false);
    expect(first.isOpen).toBe(true);
    first.close('done');
    expect(await second.open()).toEqual({ ok: true, value: { kvKept: false } });
  });

  it('know whether their pages are as they left them', async () => {
    const [first, second] = createHeads();
    await first.open();
    first.close('a pause');
    expect(await first.open()).toEqual({ ok: true, value: { kvKept: true } });
    first.close('a pause');
    await second.open();
    second.close('done');
    expect(await first.open()).toEqual({ ok: true, value: { kvKept: false } });
  });
});

describe('a ring that is closed', () => {
  it('refuses steps and logits', async () => {
    const [head] = createHeads();
    const step = {
      pageOperations: [],
      sequences: [{ sequenceId: 1, startPosition: 0, numTokens: 1, pageTable: [0], resultRows: [0] }],
      tokenIds: [5],
    };
    expect(await head.submit(step)).toMatchObject({ ok: false, error: { code: 'superseded' } });
    expect(head.logits(new Float32Array(64))).toBeNull();
    await head.open();
    const result = await head.submit(step);
    expect(result.ok && result.value.rows.length).toBe(64);
    expect(result.ok && head.logits(result.value.rows)?.length).toBeGreaterThan(0);
    head.close('done');
    expect(await head.submit(step)).toMatchObject({ ok: false, error: { message: 'done' } });
  });
});
