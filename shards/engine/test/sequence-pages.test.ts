import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { promptOf } from '../../test/tiny-ring.ts';
import { SAVE_REQUESTS_MAX } from '../sequence-pages.ts';
import type { Sequence } from '../sequence.ts';
import { nextTokenOf, World, type WorldOptions } from './page-world.ts';

const OPTIONS: WorldOptions = {
  numPages: 12,
  numTokensMax: 24,
  sequencesRunningMax: 4,
  sequencesWaitingMax: 6,
  tenantWaitingMax: 6,
  resumedWaitingMax: 4,
  stepsInFlightMax: 1,
  draftStepTokensMax: 1,
  sequenceTokensMax: 8 * PAGE_SIZE_TOKENS,
  nextTokenOf,
};
/** Prompt and output of the longest sequence. */
const TOKENS_MAX = 100;

const LONG = promptOf(70);

/** `count` tokens of the common prompt, then others. */
function branch(count: number, numTokens = 70): number[] {
  return [...LONG.slice(0, count), ...promptOf(numTokens - count, 99)];
}

type Event =
  | { readonly kind: 'arrive'; readonly size: number; readonly common: number; readonly salt: string }
  | { readonly kind: 'send' | 'receive' }
  | { readonly kind: 'lose' | 'crash' }
  | { readonly kind: 'cancel' | 'pause' | 'forget'; readonly target: number };

const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('arrive' as const),
      size: fc.integer({ min: 1, max: 70 }),
      common: fc.constantFrom(0, 16, 21, 40, 48, 70),
      salt: fc.constantFrom('a', 'a', 'b'),
    }),
  },
  { weight: 14, arbitrary: fc.record({ kind: fc.constantFrom('send' as const, 'receive' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lose' as const, 'crash' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('cancel' as const, 'pause' as const, 'forget' as const, 'forget' as const),
      target: fc.nat(),
    }),
  },
);

function happen(world: World, event: Event): void {
  if (event.kind === 'arrive') {
    const common = Math.min(event.common, event.size);
    world.arrive(branch(common, event.size), 1 + ((event.size * 7) % (TOKENS_MAX - event.size)), event.salt);
  } else if (!('target' in event)) {
    void {
      send: () => world.send(),
      receive: () => world.receive(),
      lose: () => world.lose(true),
      crash: () => world.lose(false),
    }[event.kind]();
  } else if (event.kind === 'forget') {
    const { store } = world.stages[event.target % 3 === 0 ? 0 : 1];
    store.delete([...store.keys()][event.target % Math.max(1, store.size)] ?? '');
  } else {
    disturb(world, event.kind, world.all[event.target % Math.max(1, world.all.length)] ?? null);
  }
}

function disturb(world: World, kind: 'cancel' | 'pause', target: Sequence | null): void {
  if (target !== null && kind === 'cancel') {
    world.scheduler.finish(target);
  } else if (target !== null) {
    target.isPaused = !target.isPaused;
  }
}

describe('pages of sequences', () => {
  it('hold what they should at every stage, whatever arrives, leaves, breaks and is forgotten', () => {
    const counters = { cached: 0, copied: 0, restored: 0, missing: 0 };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(1, 4, 20),
        fc.constantFrom(8, 12, 40),
        fc.array(events, { maxLength: 150, size: 'max' }),
        (stepsInFlightMax, draftStepTokensMax, numPages, all) => {
          const world = new World({ ...OPTIONS, stepsInFlightMax, draftStepTokensMax, numPages });
          all.forEach((event) => happen(world, event));
          world.all.forEach((sequence) => (sequence.isPaused = false));
          world.finishAll(world.all.length * TOKENS_MAX * 2 + 100);
          expect(world.all.every(({ state }) => state === 'finished')).toBe(true);
          expect(world.cache.pool.numAvailablePages).toBe(numPages);
          expect(world.cache.numPages).toBe(world.cache.pool.numCachedPages);
          counters.cached += world.counters.numCachedTokensTotal;
          counters.copied += world.counters.numCopiedPagesTotal;
          counters.restored += world.counters.numRestoredPagesTotal;
          counters.missing += world.counters.numMissingPagesTotal;
        },
      ),
      { numRuns: 60 },
    );
    // Otherwise it proves nothing.

    expect(Math.min(...Object.values(counters))).toBeGreaterThan(20);
  });

  it('of an equal beginning are shared, and copied where the tokens part', () => {
    const world = new World(OPTIONS);
    const first = world.arrive(LONG, 30);
    world.step();
    world.step();
    world.step();
    const second = world.arrive(branch(40), 1);
    world.step();
    expect(second.numCachedTokens).toBe(40);
    expect(second.pageTable.pages.slice(0, 2)).toEqual(first.pageTable.pages.slice(0, 2));
    expect(second.pageTable.pages[2]).not.toBe(first.pageTable.pages[2]);
    world.finishAll(100);
  });

  it('are never those of another salt', () => {
    const world = new World(OPTIONS);
    world.arrive(LONG, 1, 'a');
    world.finishAll(10);
    const other = world.arrive(LONG, 1, 'b');
    world.step();
    expect(other.numCachedTokens).toBe(0);
    expect(world.counters.numCopiedPagesTotal).toBe(0);
  });

  it('that hold a whole prompt leave its last token to compute', () => {
    const world = new World(OPTIONS);
    const prompt = LONG.slice(0, 4 * PAGE_SIZE_TOKENS);
    world.arrive(prompt, 1);
    world.finishAll(10);
    const again = world.arrive(prompt, 1);
    expect(world.step()).toMatchObject([{ startPosition: prompt.length - 1, numTokens: 1 }]);
    expect(again.numCachedTokens).toBe(prompt.length - 1);
  });

  it('are not taken by a request for log-probabilities of its prompt until it has them', () => {
    const world = new World(OPTIONS);
    world.arrive(LONG, 1);
    world.finishAll(10);
    const sequence = world.arrive(LONG, 5);
    Object.assign(sequence.request, { numPromptLogprobs: 0 });
    world.step();
    expect(sequence.numCachedTokens).toBe(0);
    expect(sequence.numReusableTokens).toBe(0);
  });

  it('that another one is computing are waited for, until the tokens part', () => {
    const world = new World(OPTIONS);
    const first = world.arrive(LONG, 3);
    const [same, shorter, other] = [
      world.arrive(LONG, 3),
      world.arrive(branch(40), 3),
      world.arrive(promptOf(20, 5), 3),
    ];
    const states = (): string[] => [first, same, shorter, other].map(({ state }) => state);
    world.step();
    expect(states()).toEqual(['running', 'waiting', 'waiting', 'running']);
    for (let i = 0; i < 10 && shorter.state === 'waiting'; i++) {
      expect(same.state).toBe('waiting');
      world.step();
    }
    expect(states().slice(0, 3)).toEqual(['running', 'waiting', 'running']);
    world.finishAll(100);
    expect([same, shorter].map(({ numCachedTokens }) => numCachedTokens)).toEqual([64, 40]);
  });

  it('are not waited for when their sequence is paused', () => {
    const world = new World(OPTIONS);
    const first = world.arrive(LONG, 3);
    world.step();
    first.isPaused = true;
    const second = world.arrive(LONG, 3);
    world.step();
    expect(second.state).toBe('running');
  });
});

describe('pages in the stores', () => {
  function restarted(numTokens = 70): World {
    const world = new World(OPTIONS);
    world.arrive(LONG.slice(0, numTokens), 1);
    world.finishAll(20);
    world.lose(false);
    return world;
  }

  function admitted(world: World): Sequence {
    const sequence = world.arrive(LONG, 1);
    world.finishAll(20);
    return sequence;
  }

  it('come back, in portions, and count as cached', () => {
    const world = restarted();
    const sequence = world.arrive(LONG, 1);
    expect(world.step()).toEqual([]);
    expect(sequence.restore).toEqual({ numPending: 2, numValidPages: 4 });
    expect(world.step()).toEqual([]);
    expect(sequence).toMatchObject({ restore: null, numComputedTokens: 64, numCachedTokens: 64 });
    world.finishAll(10);
    expect(world.counters).toMatchObject({ numRestoredPagesTotal: 4, numMissingPagesTotal: 0, numSavedPagesTotal: 4 });
  });

  it('count up to the first that a stage does not have, which is saved again', () => {
    const world = restarted();
    const [, second] = [...world.stages[1].store.keys()];
    world.stages[1].store.delete(second ?? '');
    expect(admitted(world).numCachedTokens).toBe(PAGE_SIZE_TOKENS);
    expect(world.counters).toMatchObject({ numRestoredPagesTotal: 3, numMissingPagesTotal: 1 });
    expect(world.stages[1].store.has(second ?? '')).toBe(true);
  });

  it('are asked for up to the first that the head does not have', () => {
    const world = restarted();
    const [, , third] = [...world.stages[0].store.keys()];
    world.stages[0].store.delete(third ?? '');
    expect(admitted(world).numCachedTokens).toBe(2 * PAGE_SIZE_TOKENS);
    expect(world.counters).toMatchObject({ numRestoredPagesTotal: 2, numMissingPagesTotal: 0 });
  });

  it('that are on their way to one sequence are waited for by another', () => {
    const world = restarted();
    const sequences = [world.arrive(LONG, 1), world.arrive(LONG, 1)];
    world.step();
    expect(sequences.map(({ state }) => state)).toEqual(['running', 'waiting']);
    world.finishAll(10);
    expect(world.counters.numRestoredPagesTotal).toBe(4);
    expect(sequences.map(({ numCachedTokens }) => numCachedTokens)).toEqual([64, 64]);
  });

  it('are written before a page that is evicted holds anything else', () => {
    const world = new World({ ...OPTIONS, numPages: 5 });
    const first = world.arrive(LONG, 1);
    while (first.state !== 'finished') {
      world.step();
    }
    expect(world.counters.numSavedPagesTotal).toBeLessThan(4);
    world.arrive(promptOf(70, 5), 1);
    world.finishAll(10);
    world.arrive(LONG, 1);
    world.finishAll(10);
    expect(world.counters).toMatchObject({ numRestoredPagesTotal: 4, numMissingPagesTotal: 0 });
  });

  it('are written again when the step that carried them was lost', () => {
    const world = new World(OPTIONS);
    world.arrive(LONG, 1);
    world.step();
    world.send();
    world.lose(true);
    world.finishAll(20);
    expect(world.counters.numSavedPagesTotal).toBe(4);
    expect(world.stages[1].store.size).toBe(4);
  });

  it('are given up when every step that carries them is lost', () => {
    const world = new World(OPTIONS);
    const sequence = world.arrive(LONG.slice(0, PAGE_SIZE_TOKENS), 1);
    world.step();
    expect([sequence.state, world.operations.size]).toEqual(['finished', 1]);
    for (let i = 1; i < SAVE_REQUESTS_MAX; i++) {
      world.send();
      world.lose(true);
      expect(world.operations.size).toBe(1);
    }
    world.send();
    world.lose(true);
    expect(world.operations.size).toBe(0);
  });

  it('include what the last step of a sequence has filled', () => {
    const world = new World(OPTIONS);
    const sequence = world.arrive(LONG.slice(0, PAGE_SIZE_TOKENS), 9);
    world.send();
    // An accepted draft token was the last one.
    sequence.numComputedTokens = PAGE_SIZE_TOKENS;
    world.scheduler.finish(sequence);
    expect([world.cache.numPages, world.operations.size]).toEqual([1, 1]);
  });
});

describe('a sequence whose ring broke', () => {
  it('keeps what came back and repeats what was in flight', () => {
    const world = new World({ ...OPTIONS, stepsInFlightMax: 2 });
    const sequence = world.arrive(LONG, 3);
    world.send();
    world.send();
    world.receive();
    world.lose(true);
    expect(sequence).toMatchObject({ state: 'running', numComputedTokens: 24, numScheduledTokens: 0 });
    world.finishAll(20);
  });

  it('is admitted again when the pages that it waited for did not come', () => {
    const world = new World(OPTIONS);
    world.arrive(LONG, 1);
    world.finishAll(20);
    const copying = world.arrive(branch(40), 1);
    world.send();
    expect(copying.isCopyUnconfirmed).toBe(true);
    world.lose(true);
    expect(copying).toMatchObject({ state: 'waiting', numComputedTokens: 0, isCopyUnconfirmed: false });
    world.finishAll(20);
    expect(copying.numCachedTokens).toBe(40);
  });

  it('computes the last token again when nobody took its logits', () => {
    const world = new World(OPTIONS);
    const sequence = world.arrive(promptOf(PAGE_SIZE_TOKENS), 3);
    const scheduled = world.send();
    world.stages[1].run({ scheduled: world.inFlight[0]?.scheduled ?? [], operations: [] });
    world.scheduler.complete(scheduled);
    world.lose(true);
    expect(sequence.numComputedTokens).toBe(PAGE_SIZE_TOKENS - 1);
    world.finishAll(20);
  });
});
