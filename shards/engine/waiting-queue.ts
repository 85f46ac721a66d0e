/**
 * The requests that wait for pages, bounded and fair between tenants. Who is next is decided by virtual token counters
 * (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024): each tenant has a counter of the work that was
 * done for it, and of those that wait the one with the lowest counter is served. A tenant that comes after a pause
 * starts at the lowest counter of those that wait, so nobody saves up; the difference in service between two tenants that
 * always wait is bounded by the largest request.
 *
 * Sequences that have run before go ahead of new ones: one that was preempted, and one whose stream began elsewhere and
 * goes on here. Their clients are reading; of those that do not, `stalledWaitingMax` wait, and none longer than `readerStallMs`.
 */
import { assert } from '../../wasm/host/assert.ts';
import type { GenerateRequest } from './protocol.ts';

/** Work of computing one token of a prompt and of choosing one of the output: the weights of the paper. */
export const PROMPT_TOKEN_COST = 1;
export const OUTPUT_TOKEN_COST = 2;

/** Tenants whose counters are kept though nothing of theirs waits. Beyond, those that are ahead the least are forgotten. */
const IDLE_TENANTS_MAX = 1024;

export interface WaitingQueueLimits {
  /** New requests that wait. More would wait longer than a client does. */
  readonly sequencesWaitingMax: number;
  /** Of these, one tenant's: whoever fills its share leaves room for the others. */
  readonly tenantWaitingMax: number;
  /** Streams that go on here after their own replica died, beside the others: as many as one replica runs. */
  readonly resumedWaitingMax: number;
}

export interface QueuedSequence {
  /** Rises with arrival. */
  readonly id: number;
  readonly request: Pick<GenerateRequest, 'cacheSalt' | 'emittedTokens'>;
}

/** `tenant_full`: others would still be taken. */
export type AddOutcome = 'added' | 'queue_full' | 'tenant_full';

const isResumed = ({ request }: QueuedSequence): boolean => request.emittedTokens.length > 0;

export class WaitingQueue<T extends QueuedSequence> {
  readonly #limits: WaitingQueueLimits;
  /** By age. */
  #returning: T[] = [];
  /** In order of arrival. */
  #fresh: T[] = [];
  /** Work done for each tenant. */
  readonly #counters = new Map<string, number>();
  /** Counter of the tenant whose last waiting request left: where a tenant starts that finds nobody waiting. */
  #lastCounter = 0;

  constructor(limits: WaitingQueueLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#returning.length + this.#fresh.length;
  }

  /** Everything that waits, in no particular order. */
  get sequences(): readonly T[] {
    return [...this.#returning, ...this.#fresh];
  }

  /** Takes a new request, if there is room for it. */
  add(sequence: T): AddOutcome {
    const { sequencesWaitingMax, tenantWaitingMax, resumedWaitingMax } = this.#limits;
    if (isResumed(sequence)) {
      if (this.#returning.filter(isResumed).length >= resumedWaitingMax) {
        return 'queue_full';
      }
      this.readmit(sequence);
      return 'added';
    }
    const tenant = sequence.request.cacheSalt;
    if (this.#fresh.length >= sequencesWaitingMax) {
      return 'queue_full';
    }
    if (this.#waitingOf(tenant).length >= tenantWaitingMax) {
      return 'tenant_full';
    }
    this.#liftCounter(tenant);
    this.#fresh.push(sequence);
    return 'added';
  }

  /** Takes back a sequence that has run, whatever the limits: what was admitted once is not refused any more. */
  readmit(sequence: T): void {
    const place = this.#returning.findIndex((other) => other.id > sequence.id);
    // A new list: the old one may be walked.
    this.#returning = this.#returning.toSpliced(place < 0 ? this.#returning.length : place, 0, sequence);
  }

  /**
   * All that wait, whoever is next first. While it is walked, a sequence that was yielded may be taken; that its tenant
   * has been served then counts at once.
   */
  *candidates(): Generator<T, void, undefined> {
    yield* this.#returning;
    const left = new Set(this.#fresh);
    while (left.size > 0) {
      // Sets keep their order, so of two tenants that are equal the one whose request is older is first.
      const next = [...left].reduce((best, other) =>
        this.#counterOf(other.request.cacheSalt) < this.#counterOf(best.request.cacheSalt) ? other : best,
      );
      left.delete(next);
      yield next;
    }
  }

  /** Takes a sequence out because it starts. @param numTokens of it that have to be computed */
  take(sequence: T, numTokens: number): void {
    const isRemoved = this.remove(sequence);
    assert(isRemoved, 'a sequence that starts was waiting');
    this.charge(sequence, numTokens * PROMPT_TOKEN_COST);
  }

  /** Takes a sequence out, if it is here. */
  remove(sequence: T): boolean {
    const before = this.size;
    this.#returning = this.#returning.filter((other) => other !== sequence);
    this.#fresh = this.#fresh.filter((other) => other !== sequence);
    if (this.size === before) {
      return false;
    }
    const tenant = sequence.request.cacheSalt;
    if (this.#waitingOf(tenant).length === 0) {
      this.#lastCounter = this.#counterOf(tenant);
    }
    return true;
  }

  /** Notes work that was done for a sequence, in `PROMPT_TOKEN_COST` and `OUTPUT_TOKEN_COST`. */
  charge({ request: { cacheSalt: tenant } }: T, cost: number): void {
    this.#counters.set(tenant, this.#counterOf(tenant) + cost);
    this.#forgetIdle();
  }

  #counterOf(tenant: string): number {
    return this.#counters.get(tenant) ?? 0;
  }

  #waitingOf(tenant: string): T[] {
    return this.#fresh.filter(({ request }) => request.cacheSalt === tenant);
  }

  /** A tenant that comes back gets no more than those that have waited: what it did not use is not saved for it. */
  #liftCounter(tenant: string): void {
    if (this.#waitingOf(tenant).length > 0) {
      return;
    }
    const waiting = this.#fresh.map(({ request }) => this.#counterOf(request.cacheSalt));
    const floor = waiting.length > 0 ? Math.min(...waiting) : this.#lastCounter;
    this.#counters.set(tenant, Math.max(this.#counterOf(tenant), floor));
    this.#forgetIdle();
  }

  /** The lower a counter, the less it says: it would be lifted anyway. */
  #forgetIdle(): void {
    if (this.#counters.size <= IDLE_TENANTS_MAX) {
      return;
    }
    const waiting = new Set(this.#fresh.map(({ request }) => request.cacheSalt));
    const idle = [...this.#counters].filter(([tenant]) => !waiting.has(tenant));
    const [lowest] = idle.reduce((best, other) => (other[1] < best[1] ? other : best));
    this.#counters.delete(lowest);
  }
}
