/**
 * The requests that run at one origin and those that wait for it: a bulkhead with priorities. Not cockatiel's, which has
 * none and would run a waiting request's call inside the request that made room, whose end would then cancel it.
 */
import type { Clock } from '../../shards/platform/clock.ts';
import { AbortedError } from '../../shards/client/abort.ts';
import type { Priority } from './origin-backend.ts';

export interface SlotLimits {
  readonly concurrency: number;
  readonly queueMax: number;
  /** A slot that was not given back by then is free: the runtime has torn its request down without running its code. */
  readonly leaseMsMax: number;
}

/** Prompt tokens of all that wait at an origin: some minutes of prefill on one GPU. A single request is always let in. */
export const QUEUED_TOKENS_MAX = 1_000_000;

/** Longest `Retry-After`: clients that wait on their own give up above a minute. */
export const RETRY_AFTER_MS_MAX = 60_000;
const RETRY_AFTER_MS_MIN = 1_000;

/** Weight of the newest request in the mean of their durations. */
const DURATION_SMOOTHING = 0.2;

export interface Lease {
  /** Gives the slot back; a second call does nothing. */
  release(): void;
}

/** `full`: no room to wait. `displaced`: a request of a higher class took the place. `moved`: the origin is not to be waited for. */
export type NoSlot = 'full' | 'displaced' | 'moved' | 'timeout';

interface Waiter {
  readonly priority: Priority;
  readonly promptTokens: number;
  readonly settle: (result: Lease | NoSlot | 'aborted') => void;
}

const RANK: Readonly<Record<Priority, number>> = { high: 0, normal: 1, low: 2 };

export class OriginSlots {
  readonly #clock: Clock;
  readonly #limits: SlotLimits;
  readonly #leases = new Map<Lease, number>();
  #waiters: Waiter[] = [];
  #meanDurationMs: number | null = null;

  constructor(clock: Clock, limits: SlotLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get inFlight(): number {
    this.#forgetLost();
    return this.#leases.size;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  get hasFreeSlot(): boolean {
    return this.inFlight < this.#limits.concurrency && this.#waiters.length === 0;
  }

  /** Whether a request of this class would be taken or may wait. */
  hasRoomFor(priority: Priority, promptTokens: number): boolean {
    return this.hasFreeSlot || this.#canQueue(promptTokens) || this.#lastBelow(priority) !== undefined;
  }

  /** How long the queue takes to be worked off, by the durations seen. */
  get retryAfterMs(): number {
    const rounds = (this.waiting + 1) / this.#limits.concurrency;
    const estimate = rounds * (this.#meanDurationMs ?? RETRY_AFTER_MS_MIN);
    return Math.ceil(Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, estimate)));
  }

  /** @returns null when it would have to wait. */
  acquireNow(): Lease | null {
    return this.hasFreeSlot ? this.#grant() : null;
  }

  /** @throws AbortedError when `signal` was aborted while it waited. */
  async acquire(
    priority: Priority,
    promptTokens: number,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Lease | NoSlot> {
    if (signal.aborted) {
      throw new AbortedError();
    }
    if (this.hasFreeSlot) {
      return this.#grant();
    }
    if (!this.#canQueue(promptTokens)) {
      const displaced = this.#lastBelow(priority);
      if (displaced === undefined) {
        return 'full';
      }
      this.#remove(displaced);
      displaced.settle('displaced');
    }
    return this.#wait(priority, promptTokens, timeoutMs, signal);
  }

  /** Sends all that wait elsewhere. */
  moveWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    waiters.forEach((waiter) => waiter.settle('moved'));
  }

  async #wait(
    priority: Priority,
    promptTokens: number,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Lease | NoSlot> {
    let settle: Waiter['settle'] = () => {};
    const settled = new Promise<Lease | NoSlot | 'aborted'>((resolve) => {
      settle = resolve;
    });
    const waiter = { priority, promptTokens, settle };
    // The timer belongs to this request: in Workers one that waits for nothing of its own counts as hung.
    const timer = this.#clock.startTimer(timeoutMs, () => settle('timeout'));
    const onAbort = (): void => settle('aborted');
    signal.addEventListener('abort', onAbort);
    this.#waiters.push(waiter);
    this.#waiters.sort((a, b) => RANK[a.priority] - RANK[b.priority]);
    const result = await settled;
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
    this.#remove(waiter);
    if (signal.aborted) {
      if (typeof result === 'object') {
        result.release();
      }
      throw new AbortedError();
    }
    return result as Lease | NoSlot;
  }

  #grant(): Lease {
    const startMs = this.#clock.nowMs();
    const lease: Lease = {
      release: () => {
        if (!this.#leases.delete(lease)) {
          return;
        }
        const durationMs = this.#clock.nowMs() - startMs;
        this.#meanDurationMs =
          this.#meanDurationMs === null
            ? durationMs
            : this.#meanDurationMs + DURATION_SMOOTHING * (durationMs - this.#meanDurationMs);
        this.#grantWaiting();
      },
    };
    this.#leases.set(lease, startMs + this.#limits.leaseMsMax);
    return lease;
  }

  #grantWaiting(): void {
    while (this.#waiters.length > 0 && this.inFlight < this.#limits.concurrency) {
      this.#waiters.shift()?.settle(this.#grant());
    }
  }

  #canQueue(promptTokens: number): boolean {
    const queuedTokens = this.#waiters.reduce((sum, waiter) => sum + waiter.promptTokens, promptTokens);
    return (
      this.#waiters.length < this.#limits.queueMax && (this.#waiters.length === 0 || queuedTokens <= QUEUED_TOKENS_MAX)
    );
  }

  /** The last that waits, if its class is below. */
  #lastBelow(priority: Priority): Waiter | undefined {
    const last = this.#waiters.at(-1);
    return last !== undefined && RANK[last.priority] > RANK[priority] ? last : undefined;
  }

  #remove(waiter: Waiter): void {
    this.#waiters = this.#waiters.filter((other) => other !== waiter);
  }

  #forgetLost(): void {
    const nowMs = this.#clock.nowMs();
    for (const [lease, expiresAtMs] of this.#leases) {
      if (expiresAtMs <= nowMs) {
        this.#leases.delete(lease);
      }
    }
  }
}
