/**
 * The replicas of one model as a gateway sees them: which one a request goes to. What a gateway knows of a replica is
 * its own work there, what the replica said of its load, and what came of the last requests. It is a guess that is right
 * most of the time: a replica that is set back is asked last, never left out.
 */
import type { EngineLoad, HeadClient } from '../engine/protocol.ts';
import type { Clock } from '../platform/clock.ts';
import { replicaName } from './replica-head.ts';
import { nearestWithinBound } from './rendezvous.ts';

/** What a replica said of its load is worth something for so long: about as long as an answer takes. */
const LOAD_REPORT_VALID_MS = 10_000;

/**
 * Work that has shown no sign of life for so long does not count. In Workers a request that is torn down does not run
 * its `finally`, so some work is never reported as ended.
 */
const WORK_STALE_MS = 180_000;

/** A replica that failed is asked last for so long; doubled for each further failure in a row. */
const FAILED_MS_MIN = 1_000;
const FAILED_MS_MAX = 30_000;

/** A full queue moves: what a replica says of its wait is for the client, the next request may find room much sooner. */
const FULL_MS_MAX = 1_000;

/** A drain lasts as long as a deployment; how long nobody knows, so it is looked at again. */
const DRAINING_MS = 5_000;

export type SetBackReason = 'failed' | 'full' | 'draining';

/** One request's work at a replica, from the call to its end. */
export interface ReplicaWork {
  /** The replica has taken the request. */
  accepted(load: EngineLoad): void;
  /** It has computed something of it. */
  alive(): void;
  end(): void;
}

/** @typeParam Head what of the head shard is used beside generating */
export class Replica<Head extends HeadClient = HeadClient> {
  readonly index: number;
  readonly head: Head;
  /** For hashing: stays the same when replicas are added. */
  readonly id: string;
  readonly weight = 1;
  readonly #clock: Clock;
  /** When each request's work last showed a sign of life. */
  readonly #work = new Map<ReplicaWork, number>();
  #othersLoad = 0;
  #othersLoadAtMs = -Infinity;
  #numFailuresInRow = 0;
  #setBack: { readonly reason: SetBackReason; readonly untilMs: number } | null = null;

  constructor(index: number, head: Head, clock: Clock) {
    this.index = index;
    this.head = head;
    this.id = replicaName(index);
    this.#clock = clock;
  }

  /** Sequences that run or wait there, as far as is known: this gateway's, and what others had when it last said so. */
  get load(): number {
    const isReportValid = this.#clock.nowMs() - this.#othersLoadAtMs < LOAD_REPORT_VALID_MS;
    return this.#numOwn() + (isReportValid ? this.#othersLoad : 0);
  }

  /** Why it is asked last, if it is. */
  get setBackReason(): SetBackReason | null {
    return this.setBackUntilMs > this.#clock.nowMs() ? (this.#setBack?.reason ?? null) : null;
  }

  get setBackUntilMs(): number {
    return this.#setBack?.untilMs ?? -Infinity;
  }

  begin(): ReplicaWork {
    const work: ReplicaWork = {
      accepted: (load) => {
        this.#work.set(work, this.#clock.nowMs());
        this.#setBack = null;
        this.report(load);
      },
      alive: () => {
        this.#work.set(work, this.#clock.nowMs());
        this.#numFailuresInRow = 0;
      },
      end: () => void this.#work.delete(work),
    };
    this.#work.set(work, this.#clock.nowMs());
    return work;
  }

  /** What it said of its load: all of it, this gateway's part included. */
  report({ numRunning, numWaiting }: EngineLoad): void {
    this.#othersLoad = Math.max(0, numRunning + numWaiting - this.#numOwn());
    this.#othersLoadAtMs = this.#clock.nowMs();
  }

  setBack(reason: SetBackReason): void {
    const failedMs = Math.min(FAILED_MS_MAX, FAILED_MS_MIN * 2 ** this.#numFailuresInRow);
    const delayMs = reason === 'failed' ? failedMs : reason === 'full' ? FULL_MS_MAX : DRAINING_MS;
    this.#setBack = { reason, untilMs: this.#clock.nowMs() + delayMs };
    this.#numFailuresInRow += reason === 'failed' ? 1 : 0;
  }

  /** It was told to take requests again. */
  clearSetBack(): void {
    this.#setBack = null;
  }

  #numOwn(): number {
    const staleMs = this.#clock.nowMs() - WORK_STALE_MS;
    for (const [work, aliveMs] of this.#work) {
      if (aliveMs < staleMs) {
        this.#work.delete(work);
      }
    }
    return this.#work.size;
  }
}

export class ReplicaSet<Head extends HeadClient = HeadClient> {
  /** In the order of their index. */
  readonly replicas: readonly Replica<Head>[];
  readonly #clock: Clock;

  /** @param heads at least one. */
  constructor(heads: readonly Head[], clock: Clock) {
    this.replicas = heads.map((head, index) => new Replica(index, head, clock));
    this.#clock = clock;
  }

  /**
   * The replica of a key, unless it has more than its share of the load, is set back or was tried already: then the next
   * one in the key's order. Of those that are set back the one whose time is over first.
   * @returns undefined when all were tried.
   */
  choose(key: string, tried: ReadonlySet<Replica>): Replica<Head> | undefined {
    const untried = this.replicas.filter((replica) => !tried.has(replica));
    const ready = untried.filter((replica) => replica.setBackUntilMs <= this.#clock.nowMs());
    return nearestWithinBound(ready, key) ?? untried.sort((a, b) => a.setBackUntilMs - b.setBackUntilMs)[0];
  }
}
