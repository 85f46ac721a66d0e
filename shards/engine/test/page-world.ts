/**
 * A ring of two stages that computes nothing but knows what each page holds: a value for each position that depends on all
 * tokens up to it and on the salt. The first stage carries a step out when it is sent, the second one when it comes back,
 * or never. Both check that every token is computed after the very tokens that its sequence has before it.
 */
import { expect } from 'vitest';
import { assert } from '../../../wasm/host/assert.ts';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { PrefixCache } from '../../kv/prefix-cache.ts';
import { zeroCounters } from '../counters.ts';
import { PageOperationQueue, type PendingOperation } from '../page-operation-queue.ts';
import { isCurrent, Scheduler, type ScheduledSequence, type SchedulerLimits } from '../scheduler.ts';
import { SequencePages } from '../sequence-pages.ts';
import { Sequence } from '../sequence.ts';
import { GREEDY } from '../../sampling/greedy.ts';

type WorldPart = ScheduledSequence & { readonly pageTable: readonly number[] };

export interface WorldStep {
  readonly scheduled: readonly WorldPart[];
  readonly operations: readonly PendingOperation[];
  /** Restores that the first stage had nothing for. */
  readonly missing: readonly number[];
}

export interface WorldOptions extends SchedulerLimits {
  readonly numPages: number;
  /** What the model would say next. */
  readonly nextTokenOf: (sequence: Sequence) => number;
}

/** The same again and again, but for every tenth token, so that drafts are right and wrong. */
export function nextTokenOf({ tokens }: Sequence): number {
  return tokens.length % 10 === 9 ? tokens.length : 1;
}

/** What a position holds, by the one before it. */
function valueAfter(value: number, tokenId: number): number {
  return (Math.imul(value, 0x9e3779b1) ^ (tokenId + 1)) >>> 0;
}

function firstValue(cacheSalt: string): number {
  return cacheSalt.split('').reduce((value, letter) => valueAfter(value, letter.charCodeAt(0)), 7);
}

class Stage {
  readonly pages: Uint32Array[];
  readonly store = new Map<string, Uint32Array>();

  constructor(numPages: number) {
    this.pages = Array.from({ length: numPages }, () => new Uint32Array(PAGE_SIZE_TOKENS));
  }

  run({ operations, scheduled }: Omit<WorldStep, 'missing'>): number[] {
    const missing = operations.flatMap((operation, i) => (this.#operate(operation) ? [] : [i]));
    scheduled.forEach((part) => this.#compute(part));
    return missing;
  }

  /** @returns false for a restore of what is not stored. */
  #operate(operation: PendingOperation): boolean {
    if (operation.kind === 'save') {
      const { key, page } = operation.entry;
      this.store.set(key.hash, this.#page(page).slice());
    } else if (operation.kind === 'copy') {
      this.#page(operation.page).set(this.#page(operation.sourcePage));
    } else {
      const stored = this.store.get(operation.key.hash);
      this.#page(operation.page).set(stored ?? new Uint32Array(PAGE_SIZE_TOKENS));
      return stored !== undefined;
    }
    return true;
  }

  #compute({ sequence, startPosition, numTokens, draft, pageTable }: WorldPart): void {
    const numKnown = startPosition + numTokens - (draft?.tokens.length ?? 0);
    let value = firstValue(sequence.request.cacheSalt);
    for (let position = 0; position < startPosition + numTokens; position++) {
      const tokenId = position < numKnown ? sequence.tokens[position] : draft?.tokens[position - numKnown];
      value = valueAfter(value, tokenId as number);
      const page = this.#page(pageTable[Math.floor(position / PAGE_SIZE_TOKENS)] as number);
      if (position < startPosition) {
        assert(page[position % PAGE_SIZE_TOKENS] === value, `position ${position} of sequence ${sequence.id} is wrong`);
      } else {
        page[position % PAGE_SIZE_TOKENS] = value;
      }
    }
  }

  #page(page: number): Uint32Array {
    return this.pages[page] as Uint32Array;
  }
}

/** A scheduler with its pages, driven as the step loop does. */
export class World {
  readonly options: WorldOptions;
  readonly cache: PrefixCache;
  readonly operations: PageOperationQueue;
  readonly counters = zeroCounters();
  readonly pages: SequencePages;
  readonly scheduler: Scheduler;
  readonly stages: readonly [Stage, Stage];
  readonly all: Sequence[] = [];
  inFlight: WorldStep[] = [];
  nowMs = 0;

  constructor(options: WorldOptions) {
    this.options = options;
    const { numPages } = options;
    this.cache = new PrefixCache(numPages);
    this.operations = new PageOperationQueue({ pageOperationsStepMax: 8, pageRestoresStepMax: 2 });
    this.stages = [new Stage(numPages), new Stage(numPages)];
    this.pages = new SequencePages({
      cache: this.cache,
      operations: this.operations,
      counters: this.counters,
      clock: { nowMs: () => this.nowMs, startTimer: () => ({ cancel() {} }), yieldToEvents: () => Promise.resolve() },
      hasStored: ({ hash }) => this.stages[0].store.has(hash),
    });
    this.scheduler = new Scheduler(options, this.pages, (numTokens) => 1 + 0.4 * (numTokens - 1));
  }

  arrive(promptTokens: readonly number[], maxTokens: number, cacheSalt = ''): Sequence {
    const request = {
      requestId: 'test',
      promptTokens,
      emittedTokens: [],
      maxTokens,
      sampling: GREEDY,
      stopTokenIds: [],
      numTopLogprobs: null,
      numPromptLogprobs: null,
      cacheSalt,
    };
    const sequence = new Sequence(this.all.length + 1, request, this.cache.pool);
    if (this.scheduler.add(sequence) === 'added') {
      this.all.push(sequence);
    }
    return sequence;
  }

  /** Sends a step if one more may be in flight and there is one, if only to carry operations. */
  send(): readonly ScheduledSequence[] {
    if (this.inFlight.length >= this.options.stepsInFlightMax) {
      return [];
    }
    const mayCompute = this.operations.hasRoomFor(this.options.sequencesRunningMax);
    const scheduled = mayCompute ? this.scheduler.schedule() : [];
    if (scheduled.length > 0 || this.operations.size > 0) {
      this.check(scheduled);
      const operations = this.operations.take(scheduled.length > 0);
      const missing: number[] = [];
      const step = { scheduled: scheduled.map(withPageTable), operations, missing };
      missing.push(...this.stages[0].run(step));
      this.inFlight.push(step);
    }
    return scheduled;
  }

  /** Takes the oldest step back as the engine does: whoever has computed all its tokens gets another one, or ends. */
  receive(): WorldStep | null {
    const step = this.inFlight.shift() ?? null;
    if (step === null) {
      return null;
    }
    const { scheduled, operations } = step;
    this.pages.confirm(operations, [...new Set([...step.missing, ...this.stages[1].run(step)])]);
    this.scheduler.complete(scheduled);
    for (const part of scheduled) {
      const { sequence, startPosition, numTokens, draft } = part;
      const draftTokens = draft?.tokens ?? [];
      if (isCurrent(part) && startPosition + numTokens - draftTokens.length === sequence.tokens.length) {
        this.#choose(sequence, draftTokens);
      }
    }
    return step;
  }

  #choose(sequence: Sequence, draftTokens: readonly number[]): void {
    for (let i = 0; i <= draftTokens.length; i++) {
      const tokenId = this.options.nextTokenOf(sequence);
      sequence.appendToken(tokenId);
      const isAccepted = draftTokens[i] === tokenId;
      sequence.numComputedTokens += isAccepted ? 1 : 0;
      this.pages.register(sequence);
      if (!sequence.wantsNextToken) {
        this.scheduler.finish(sequence);
      }
      if (!isAccepted) {
        return;
      }
    }
  }

  /** The ring broke under all steps. @param isKept whether the stages still have their pages. */
  lose(isKept: boolean): void {
    const lost = this.inFlight;
    this.inFlight = [];
    this.scheduler.cancelScheduled();
    this.pages.retry(lost.flatMap(({ operations }) => operations));
    if (!isKept) {
      this.stages.forEach((stage) => stage.pages.forEach((page) => page.fill(0)));
      this.scheduler.readmitAll();
    }
  }

  step(): readonly ScheduledSequence[] {
    const scheduled = this.send();
    this.receive();
    return scheduled;
  }

  /** Runs until nothing is left to do. */
  finishAll(numStepsMax: number): void {
    for (let i = 0; i < numStepsMax && this.scheduler.sequences.length + this.operations.size > 0; i++) {
      let numInFlight;
      do {
        numInFlight = this.inFlight.length;
        this.send();
      } while (this.inFlight.length > numInFlight);
      expect(this.receive()).not.toBeNull();
    }
    while (this.receive() !== null) {
      // Saves may be left after the last sequence.
    }
    expect(this.scheduler.sequences).toEqual([]);
  }

  /** What must hold in every step. */
  check(scheduled: readonly ScheduledSequence[]): void {
    const { numTokensMax, sequencesRunningMax, numPages } = this.options;
    expect(scheduled.reduce((sum, part) => sum + part.numTokens, 0)).toBeLessThanOrEqual(numTokensMax);
    expect(this.scheduler.numRunning).toBeLessThanOrEqual(sequencesRunningMax);
    scheduled.forEach((part) => this.#checkPart(part));
    const tables = this.all.map((sequence) => ({ sequence, pages: sequence.pageTable.pages }));
    for (let page = 0; page < numPages; page++) {
      const owners = tables.filter(({ pages }) => pages.includes(page));
      assert(this.cache.pool.referenceCount(page) === owners.length, `page ${page} is counted wrong`);
      const tenants = new Set(owners.map(({ sequence }) => sequence.tenant));
      assert(tenants.size <= 1, `page ${page} is shared between tenants`);
    }
  }

  #checkPart({ sequence, startPosition, numTokens }: ScheduledSequence): void {
    expect(numTokens).toBeGreaterThan(0);
    expect(sequence).toMatchObject({ state: 'running', restore: null });
    const onTheirWay = this.inFlight.flatMap((step) => step.scheduled);
    const numOnTheirWay = onTheirWay
      .filter((other) => other.sequence === sequence && isCurrent(other))
      .reduce((sum, other) => sum + other.numTokens, 0);
    expect(startPosition).toBe(sequence.numComputedTokens + numOnTheirWay);
    expect(sequence.numScheduledTokens).toBe(numOnTheirWay + numTokens);
    const numCovered = sequence.pageTable.pages.length * PAGE_SIZE_TOKENS;
    expect(numCovered).toBeGreaterThanOrEqual(startPosition + numTokens);
    const numTokensWanted = sequence.numPromptTokens + sequence.request.maxTokens;
    expect(startPosition + numTokens).toBeLessThan(Math.max(numTokensWanted, sequence.tokens.length + 1));
  }
}

/** As a frame does: the page table as it is when the step is sent. */
function withPageTable(part: ScheduledSequence): WorldPart {
  return { ...part, pageTable: part.sequence.pageTable.pages.slice() };
}
