/** One configured origin and what is known of it in this isolate. */
import type { Clock } from '../../shards/platform/clock.ts';
import type { Capability } from '../routing/capabilities.ts';
import type { EngineLoad, OriginDeadlines, OriginHealth } from './origin-backend.ts';
import { OriginBreaker } from './origin-breaker.ts';
import type { OriginConfig, OriginModelConfig } from './origin-config.ts';
import { OriginSlots } from './origin-slots.ts';
import type { OriginTransport } from './transport.ts';

export const DEFAULT_DEADLINES: OriginDeadlines = {
  connectMs: 5_000,
  firstTokenMs: 60_000,
  betweenTokensMs: 30_000,
  totalMs: 600_000,
};

/** An engine that says it is full is left alone for so long when it does not say how long, and never longer than the second. */
const BUSY_MS_DEFAULT = 1_000;
const BUSY_MS_MAX = 10_000;

/** What a probe found is believed for so long: two intervals of `origin-probe.ts`. */
const PROBE_VALID_MS = 30_000;

/** Weight of the newest time to the first token in their mean. */
const TTFT_SMOOTHING = 0.2;

export interface ProbeResult {
  /** Why it is no good; null when it is. */
  readonly failure: string | null;
  readonly engine: EngineLoad | null;
  readonly atMs: number;
}

export class Origin {
  readonly config: OriginConfig;
  readonly transport: OriginTransport;
  readonly breaker: OriginBreaker;
  readonly slots: OriginSlots;
  readonly #clock: Clock;
  #probe: ProbeResult | null = null;
  #busyUntilMs = 0;
  #ttftMs: number | null = null;
  #lastFailure: string | null = null;
  #requests = 0;
  #failures = 0;
  #hedges = 0;
  /** When a request last got content from it. */
  lastContentMs = Number.NEGATIVE_INFINITY;
  lastProbeStartMs = Number.NEGATIVE_INFINITY;

  constructor(config: OriginConfig, transport: OriginTransport, clock: Clock) {
    this.config = config;
    this.transport = transport;
    this.#clock = clock;
    const { concurrency, queueMax } = config;
    this.slots = new OriginSlots(clock, { concurrency, queueMax, leaseMsMax: DEFAULT_DEADLINES.totalMs });
    this.breaker = new OriginBreaker(
      () => clock.nowMs(),
      () => this.slots.moveWaiters(),
    );
  }

  get id(): string {
    return this.config.id;
  }

  get weight(): number {
    return this.config.weight;
  }

  /** Requests that run or wait there: those of this isolate, or all of them where the engine says how many. */
  get load(): number {
    const { running, waiting } = this.#freshProbe?.engine ?? {};
    return Math.max(this.slots.inFlight + this.slots.waiting, (running ?? 0) + (waiting ?? 0));
  }

  /** Time until it may be tried; 0 when it may now. */
  get waitMs(): number {
    const nowMs = this.#clock.nowMs();
    const probe = this.#freshProbe;
    const probeMs = probe === null || probe.failure === null ? 0 : probe.atMs + PROBE_VALID_MS - nowMs;
    return Math.max(this.breaker.waitMs, this.busyMs, probeMs);
  }

  /** Time for which the engine has asked to be left alone. */
  get busyMs(): number {
    return Math.max(0, this.#busyUntilMs - this.#clock.nowMs());
  }

  get #freshProbe(): ProbeResult | null {
    return this.#probe !== null && this.#probe.atMs + PROBE_VALID_MS > this.#clock.nowMs() ? this.#probe : null;
  }

  model(publicId: string): OriginModelConfig | undefined {
    return this.config.models.find((model) => model.public === publicId);
  }

  sawProbe(result: ProbeResult): void {
    this.#probe = result;
  }

  sawRequest(): void {
    this.#requests++;
  }

  /** It is asked beside another origin that is late. */
  sawHedge(): void {
    this.#hedges++;
  }

  sawContent(ttftMs: number): void {
    this.lastContentMs = this.#clock.nowMs();
    this.#ttftMs = this.#ttftMs === null ? ttftMs : this.#ttftMs + TTFT_SMOOTHING * (ttftMs - this.#ttftMs);
  }

  sawFailure(detail: string): void {
    this.#failures++;
    this.#lastFailure = detail;
  }

  sawBusy(retryAfterMs: number | null): void {
    const durationMs = Math.min(BUSY_MS_MAX, retryAfterMs ?? BUSY_MS_DEFAULT);
    this.#busyUntilMs = this.#clock.nowMs() + durationMs;
  }

  get health(): OriginHealth {
    const breaker = this.breaker.state;
    const probeFailure = this.#probe?.failure ?? null;
    return {
      id: this.id,
      models: this.config.models.map((model) => model.public),
      breaker,
      probe: this.#probe === null ? null : probeFailure === null ? 'ok' : 'failing',
      detail: probeFailure ?? (breaker === 'closed' ? null : this.#lastFailure),
      inFlight: this.slots.inFlight,
      waiting: this.slots.waiting,
      engine: this.#freshProbe?.engine ?? null,
      ttftMs: this.#ttftMs,
      requests: this.#requests,
      failures: this.#failures,
      hedges: this.#hedges,
    };
  }
}

/** @returns the first need that the model does not meet; null when it meets all. */
export function missingCapability(model: OriginModelConfig, needs: ReadonlySet<Capability>): Capability | null {
  for (const need of needs) {
    if (!model.capabilities.includes(need)) {
      return need;
    }
  }
  return null;
}
