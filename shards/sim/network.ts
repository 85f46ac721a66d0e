/** What lies between the processes of a simulation: latencies, partitions, and frames that meet with an accident. */
import type { Timer } from '../platform/clock.ts';
import { spoilFrame, type Canary } from './canary.ts';
import { FRAME_FAULTS, type FaultCounts, type FaultPlan, type FrameFault } from './faults.ts';
import type { EventQueue } from './event-queue.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';

export interface NetworkOptions {
  readonly events: EventQueue;
  readonly random: Random;
  readonly plan: FaultPlan;
  readonly counts: FaultCounts;
  /** One way, on average. */
  readonly latencyMs: number;
  readonly canary: Canary | null;
}

/** How long a call or a connection hangs before a network that swallows it gives it up. */
const LOST_CALL_MS = 20_000;
/** A death that nobody is told of: the host is gone with the process. */
const SILENT_DEATH_PROBABILITY = 0.1;
const DELAY_MS = { min: 20, max: 5_000 } as const;
/** Two frames that overtake each other are not far apart. */
const REORDER_MS_MAX = 50;

export interface FrameFate {
  readonly fault: FrameFault | null;
  readonly delayMs: number;
}

export class SimNetwork {
  readonly #options: NetworkOptions;
  /** Names of the processes on the far side of a partition; those of one group reach each other. */
  #partitioned: ReadonlySet<string> = new Set();
  /** In the quiet phase nothing happens to anybody. */
  isCalm = false;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Splits the network until `heal`. */
  partition(names: ReadonlySet<string>): void {
    this.#partitioned = names;
  }

  heal(): void {
    this.#partitioned = new Set();
  }

  isReachable(from: SimProcess, to: SimProcess): boolean {
    return this.#partitioned.has(from.name) === this.#partitioned.has(to.name);
  }

  get nowMs(): number {
    return this.#options.events.nowMs;
  }

  latency(): number {
    return this.#options.random.exponential(this.#options.latencyMs);
  }

  /** Whether those who are connected with a killed process hear of it. */
  isDeathNoticed(): boolean {
    return this.isCalm || !this.#options.random.chance(SILENT_DEATH_PROBABILITY);
  }

  decideFrame(): FrameFate {
    const { random, plan, counts } = this.#options;
    const latencyMs = this.latency();
    const fault = this.isCalm
      ? undefined
      : FRAME_FAULTS.find((kind) => random.chance(plan.frameProbability.get(kind) ?? 0));
    if (fault === undefined) {
      return { fault: null, delayMs: latencyMs };
    }
    counts.add(fault);
    const extraMs =
      fault === 'delay'
        ? random.between(DELAY_MS.min, DELAY_MS.max)
        : fault === 'reorder'
          ? random.between(1, REORDER_MS_MAX)
          : 0;
    return { fault, delayMs: latencyMs + extraMs };
  }

  /** Changes one bit. */
  corrupt(frame: Uint8Array<ArrayBuffer>): void {
    const { random, canary } = this.#options;
    const at = random.between(0, frame.length - 1);
    frame[at] = (frame[at] ?? 0) ^ (1 << random.between(0, 7));
    spoilFrame(canary, frame);
  }

  /** True time, whoever is busy or dead. */
  after(delayMs: number, label: string, callback: () => void): Timer {
    return this.#options.events.schedule(delayMs, label, callback);
  }

  /**
   * A call by RPC: runs `run` in `to`, and comes back. Rejects when `to` dies meanwhile or cannot be reached; never
   * settles when `from` dies.
   */
  call<T>(from: SimProcess, to: SimProcess, name: string, run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose = (message: string): void => {
        from.deliver(LOST_CALL_MS, `${name} is lost`, () => reject(new Error(message)));
      };
      if (!this.isReachable(from, to)) {
        lose(`${to.name} cannot be reached`);
        return;
      }
      const forget = to.onKilled((reason) => {
        from.deliver(this.latency(), `${name} fails`, () => reject(new Error(reason)));
      });
      if (!to.isAlive) {
        forget();
        from.deliver(this.latency(), `${name} fails`, () => reject(new Error(`${to.name} is down`)));
        return;
      }
      const answer = (label: string, settle: () => void): void => {
        forget();
        if (this.isReachable(from, to)) {
          from.deliver(to.busyMs + this.latency(), label, settle);
        } else {
          lose(`${to.name} did not answer`);
        }
      };
      to.deliver(from.busyMs + this.latency(), name, () => {
        run().then(
          (value) => answer(`${name} returns`, () => resolve(value)),
          (thrown: unknown) => answer(`${name} throws`, () => reject(thrown)),
        );
      });
    });
  }
}
