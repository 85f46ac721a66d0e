import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { PagePool } from '../../kv/page-pool.ts';
import { promptOf, requestOf } from '../../test/tiny-ring.ts';
import { isCurrent, Scheduler, type ScheduledSequence } from '../scheduler.ts';
import { Sequence } from '../sequence.ts';

const LIMITS = {
  numTokensMax: 24,
  sequencesRunningMax: 4,
  sequencesWaitingMax: 6,
  stepsInFlightMax: 1,
  draftStepTokensMax: 1,
  sequenceTokensMax: 8 * PAGE_SIZE_TOKENS,
};
/** Two sequences of the longest kind do not fit, so that pages run out. */
const NUM_PAGES = 8;
const TOKENS_MAX = 100;

/** The same again and again, but for every tenth token, so that drafts are right and wrong. */
function nextTokenOf({ tokens }: Sequence): number {
  return tokens.length % 10 === 9 ? tokens.length : 1;
}

class World {
  readonly pool = new PagePool(NUM_PAGES);
  readonly scheduler: Scheduler;
  readonly all: Sequence[] = [];
  readonly inFlight: (readonly ScheduledSequence[])[] = [];
  readonly #stepsInFlightMax: number;

  constructor(stepsInFlightMax = 1, draftStepTokensMax = 1) {
    this.#stepsInFlightMax = stepsInFlightMax;
    this.scheduler = new Scheduler({ ...LIMITS, stepsInFlightMax, draftStepTokensMax });
  }

  arrive(numPromptTokens: number, maxTokens: number): Sequence {
    const promptTokens = promptOf(numPromptTokens);
    const sequence = new Sequence(this.all.length + 1, requestOf({ promptTokens, maxTokens }), this.pool);
    if (this.scheduler.add(sequence)) {
      this.all.push(sequence);
    }
    return sequence;
  }

  /** Sends a step if one more may be in flight and there is one. */
  send(): readonly ScheduledSequence[] {
    const scheduled = this.inFlight.length < this.#stepsInFlightMax ? this.scheduler.schedule() : [];
    if (scheduled.length > 0) {
      this.check(scheduled);
      this.inFlight.push(scheduled);
    }
    return scheduled;
  }

  /** Takes the oldest step back as the engine does: whoever has computed all its tokens gets another one, or ends. */
  receive(): readonly ScheduledSequence[] {
    const scheduled = this.inFlight.shift() ?? [];
    this.scheduler.complete(scheduled);
    for (const part of scheduled) {
      const { sequence, startPosition, numTokens, draft } = part;
      const draftTokens = draft?.tokens ?? [];
      if (!isCurrent(part) || startPosition + numTokens - draftTokens.length !== sequence.tokens.length) {
        continue;
      }
      for (let i = 0; i <= draftTokens.length; i++) {
        const tokenId = nextTokenOf(sequence);
        sequence.appendToken(tokenId);
        if (!sequence.wantsNextToken) {
          this.scheduler.finish(sequence);
        }
        if (draftTokens[i] !== tokenId) {
          break;
        }
        sequence.numComputedTokens++;
      }
    }
    return scheduled;
  }

  /** The ring broke under all steps. */
  lose(): void {
    this.inFlight.length = 0;
    this.scheduler.rewindAll();
  }

  step(): readonly ScheduledSequence[] {
    this.send();
    return this.receive();
  }

  stepUntil(isDone: () => boolean): void {
    for (let i = 0; i < TOKENS_MAX && !isDone(); i++) {
      this.step();
    }
    expect(isDone()).toBe(true);
  }

  /** What must hold in every step. */
  check(scheduled: readonly ScheduledSequence[]): void {
    const numTokens = scheduled.reduce((sum, part) => sum + part.numTokens, 0);
    expect(numTokens).toBeLessThanOrEqual(LIMITS.numTokensMax);
    expect(this.scheduler.numRunning).toBeLessThanOrEqual(LIMITS.sequencesRunningMax);
    for (const part of scheduled) {
      expect(part.numTokens).toBeGreaterThan(0);
      expect(part.sequence.state).toBe('running');
      const { sequence } = part;
      const onTheirWay = this.inFlight.flat().filter((other) => other.sequence === sequence && isCurrent(other));
      const numOnTheirWay = onTheirWay.reduce((sum, other) => sum + other.numTokens, 0);
      expect(part.startPosition).toBe(sequence.numComputedTokens + numOnTheirWay);
      expect(sequence.numScheduledTokens).toBe(numOnTheirWay + part.numTokens);
      const numCovered = part.sequence.pageTable.pages.length * PAGE_SIZE_TOKENS;
      expect(numCovered).toBeGreaterThanOrEqual(part.startPosition + part.numTokens);
      const numTokensWanted = sequence.numPromptTokens + sequence.request.maxTokens;
      expect(part.startPosition + part.numTokens).toBeLessThan(Math.max(numTokensWanted, sequence.tokens.length + 1));
    }
    const held = this.all.flatMap(({ pageTable }) => pageTable.pages);
    expect(new Set(held).size).toBe(held.length);
    expect(held.length + this.pool.numAvailablePages).toBe(NUM_PAGES);
  }
}

describe('Scheduler', () => {
  it('ends every sequence, leaks no page and stays within its budget, whatever arrives and leaves', () => {
    const event = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('arrive' as const), size: fc.nat({ max: 70 }) }) },
      {
        weight: 10,
        arbitrary: fc.record({ kind: fc.constantFrom('send' as const, 'receive' as const), size: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constantFrom('cancel' as const, 'pause' as const, 'lose' as const),
          size: fc.nat(),
        }),
      },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(1, 4, 20),
        fc.array(event, { maxLength: 120 }),
        (stepsInFlightMax, draftStepTokensMax, events) => {
          const world = new World(stepsInFlightMax, draftStepTokensMax);
          for (const { kind, size } of events) {
            const target = world.all[size % Math.max(1, world.all.length)];
            if (kind === 'arrive') {
              world.arrive(1 + size, 1 + ((size * 7) % (TOKENS_MAX - size)));
            } else if (kind === 'send') {
              world.send();
            } else if (kind === 'receive') {
              world.receive();
            } else if (kind === 'lose') {
              world.lose();
            } else if (target !== undefined && kind === 'cancel') {
              world.scheduler.finish(target);
            } else if (target !== undefined) {
              target.isPaused = !target.isPaused;
            }
          }
          world.all.forEach((sequence) => (sequence.isPaused = false));
          // Each step computes a token at least, and recomputation is bounded by the oldest sequence getting on.
          const numStepsMax = world.all.length * TOKENS_MAX * 2;
          for (let i = 0; i < numStepsMax && world.scheduler.sequences.length > 0; i++) {
            while (world.send().length > 0) {
              // As many as may be in flight.
            }
            expect(world.receive().length).toBeGreaterThan(0);
          }
          expect(world.all.every(({ state }) => state === 'finished')).toBe(true);
          expect(world.pool.numAvailablePages).toBe(NUM_PAGES);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('deals sequences that decode out over the steps in flight, each of them in one step at a time', () => {
    const world = new World(2);
    const sequences = [1, 2, 3].map(() => world.arrive(2, 50));
    const byId = (parts: readonly ScheduledSequence[]): number[] => parts.map(({ sequence }) => sequence.id);
    expect(byId(world.send())).toEqual([1, 2, 3]);
    expect(world.send()).toEqual([]);
    world.receive();
    expect([byId(world.send()), byId(world.send())]).toEqual([[1, 2], [3]]);
    expect(world.scheduler.schedule()).toEqual([]);
    world.receive();
    expect(byId(world.send())).toEqual([1, 2]);
    expect(sequences.map(({ numOutputTokens }) => numOutputTokens)).toEqual([2, 2, 1]);
  });

  it('lets the chunks of a prompt follow each other in flight', () => {
    const world = new World(3);
    const prompt = world.arrive(60, 5);
    const parts = [world.send(), world.send(), world.send()].map(([part]) => [part?.startPosition, part?.numTokens]);
    expect(parts).toEqual([
      [0, 24],
      [24, 24],
      [48, 12],
    ]);
    world.receive();
    expect(prompt).toMatchObject({ numComputedTokens: 24, numScheduledTokens: 36 });
  });

  it('ignores what a step says about a sequence that was rewound after it had been sent', () => {
    const world = new World(2);
    const prompt = world.arrive(60, 5);
    world.send();
    prompt.rewind();
    const [again] = world.send();
    expect(again).toMatchObject({ startPosition: 0, numTokens: 24 });
    world.receive();
    expect(prompt).toMatchObject({ numComputedTokens: 0, numScheduledTokens: 24 });
    world.receive();
    expect(prompt).toMatchObject({ numComputedTokens: 24, numScheduledTokens: 0 });
  });

  it('gives decoding sequences their token before it shares the rest among prompts', () => {
    const world = new World();
    world.arrive(4, 50);
    world.step();
    world.arrive(60, 5);
    const parts = world.step();
    expect(parts.map(({ numTokens }) => numTokens)).toEqual([1, LIMITS.numTokensMax - 1]);
  });

  it('lets a short prompt through beside a long one', () => {
    const world = new World();
    world.arrive(90, 5);
    world.arrive(6, 5);
    expect(world.step().map(({ numTokens }) => numTokens)).toEqual([LIMITS.numTokensMax - 6, 6]);
  });

  it('preempts the youngest, and computes it again from its tokens', () => {
    const world = new World();
    const old = world.arrive(PAGE_SIZE_TOKENS * 4, 40);
    const young = world.arrive(PAGE_SIZE_TOKENS * 4 - 1, 40);
    world.stepUntil(() => young.numOutputTokens > 0 && young.state !== 'running');
    expect(old.state).toBe('running');
    expect(young).toMatchObject({ state: 'waiting', numComputedTokens: 0 });
    expect(young.pageTable.pages).toHaveLength(0);
  });

  it('preempts a sequence whose reader does not read before one that is younger', () => {
    const world = new World();
    const paused = world.arrive(PAGE_SIZE_TOKENS * 3 - 1, 40);
    const reading = world.arrive(PAGE_SIZE_TOKENS * 4 - 1, 40);
    world.stepUntil(() => reading.numOutputTokens > 0);
    paused.isPaused = true;
    world.stepUntil(() => paused.state !== 'running');
    expect(reading.state).toBe('running');
    const next = world.arrive(1, 1);
    world.step();
    expect(next.state).toBe('finished');
  });

  it('never passes a large prompt over for a small one', () => {
    const world = new World();
    world.arrive(PAGE_SIZE_TOKENS * 5, 4);
    const large = world.arrive(PAGE_SIZE_TOKENS * 5, 4);
    const small = world.arrive(1, 1);
    world.step();
    expect([large.state, small.state]).toEqual(['waiting', 'waiting']);
  });

  it('queues up to its limit and no further', () => {
    const world = new World();
    for (let i = 0; i < LIMITS.sequencesWaitingMax; i++) {
      world.arrive(1, 1);
    }
    expect(world.scheduler.numWaiting).toBe(LIMITS.sequencesWaitingMax);
    world.arrive(1, 1);
    expect(world.scheduler.numWaiting).toBe(LIMITS.sequencesWaitingMax);
  });

  it('runs up to its limit and no further', () => {
    const world = new World();
    for (let i = 0; i <= LIMITS.sequencesRunningMax; i++) {
      world.arrive(1, 9);
    }
    expect(world.step()).toHaveLength(LIMITS.sequencesRunningMax);
  });

  it('refuses a budget that cannot serve every running sequence', () => {
    expect(() => new Scheduler({ ...LIMITS, numTokensMax: LIMITS.sequencesRunningMax })).not.toThrow();
    expect(() => new Scheduler({ ...LIMITS, numTokensMax: LIMITS.sequencesRunningMax - 1 })).toThrow('cannot serve');
  });
});
