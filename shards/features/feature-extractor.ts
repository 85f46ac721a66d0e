/**
 * Features of texts on the head shard: pooled hidden states of its first layers, one hop, without the ring. Texts of all
 * requests share micro-batches, and their work fits between the steps of streams (`FeaturePace`).
 */
import { NUM_FEATURE_PAGES, type StageAssignment } from '../model/assignment.ts';
import type { RuntimeHost, RuntimeLease } from '../model/runtime-host.ts';
import type { AssetSource } from '../platform/assets.ts';
import type { Clock } from '../platform/clock.ts';
import { describeError, err, ok, type Result } from '../result.ts';
import { pagesForTokens } from '../kv/page-table.ts';
import { FeatureBatch } from './feature-batch.ts';
import { FeatureJob, type TextWindow } from './feature-job.ts';
import { FeaturePace, type TurnGrant } from './feature-pace.ts';
import type { FeatureAnswer, FeatureFailure, FeatureHead, FeatureRequest } from './feature-protocol.ts';
import { FeatureQueue } from './feature-queue.ts';
import { FEATURE_LIMITS, type FeatureLimits } from './limits.ts';
import { validateFeatureRequest } from './validate-feature-request.ts';

/** A step of one token costs as much as two of a large step: it decodes the weights for itself alone. */
const STEP_TOKENS_MIN = 2;

export interface FeatureExtractorOptions {
  readonly assignment: StageAssignment;
  /** The ring's own: features use the same lease of the runtime as its steps. */
  readonly owner: string;
  readonly host: RuntimeHost;
  readonly assets: AssetSource;
  readonly clock: Clock;
  /** Whether the ring is open or opens: then the lease is not given back after the last text. */
  readonly isRingInUse: () => boolean;
  readonly limits?: Partial<FeatureLimits>;
}

export class FeatureExtractor implements FeatureHead {
  /** The engine tells it about steps. */
  readonly pace: FeaturePace;
  readonly #options: FeatureExtractorOptions;
  readonly #limits: FeatureLimits;
  readonly #queue: FeatureQueue;
  #batch: FeatureBatch | null = null;
  #isLooping = false;

  constructor(options: FeatureExtractorOptions) {
    this.#options = options;
    this.#limits = { ...FEATURE_LIMITS, ...options.limits };
    this.#queue = new FeatureQueue(this.#limits);
    this.pace = new FeaturePace(options.clock, this.#limits);
  }

  async extractFeatures(request: FeatureRequest): Promise<FeatureAnswer> {
    const { host, assets, assignment, clock } = this.#options;
    const limits = this.#limits;
    const config = await host.readConfig(assets);
    const hiddenSize = config.ok ? config.value.hiddenSize : 0;
    const { numTokensMax } = assignment;
    const onChange = (): void => this.#onChange();
    const job = new FeatureJob({ request, hiddenSize, clock, limits, numTokensMax, onChange });
    const failure = config.ok
      ? (failureOf(validateFeatureRequest(request, { config: config.value, assignment, limits })) ??
        this.#queue.add(job))
      : ({ ...config.error, code: 'not_ready' } as const);
    if (failure !== null) {
      job.fail(failure);
    }
    this.#wake();
    return job.answer();
  }

  /** A reader came back or went away. */
  #onChange(): void {
    this.#queue.dropEnded();
    this.#wake();
  }

  #wake(): void {
    if (!this.#isLooping && this.#hasWork) {
      this.#isLooping = true;
      void this.#loop();
    }
  }

  get #hasWork(): boolean {
    return this.#batch !== null || this.#queue.hasWindows;
  }

  async #loop(): Promise<void> {
    const { host, owner, clock, isRingInUse } = this.#options;
    try {
      // Requests that come together get into one micro-batch.
      await clock.yieldToEvents();
      while (this.#hasWork) {
        const grant = await this.pace.nextTurn();
        const lease = await this.#lease();
        if (!lease.ok) {
          this.#failAll(lease.error);
          break;
        }
        this.#turn(lease.value, grant);
        await clock.yieldToEvents();
      }
    } catch (thrown) {
      const message = `the features failed: ${describeError(thrown)}`;
      this.#failAll({ code: 'internal', message, retryable: true });
    }
    this.#isLooping = false;
    if (!isRingInUse()) {
      host.release(owner);
    }
    // Whoever came while the last ones were failed has not been told.
    this.#wake();
  }

  /** The ring may close, and give the lease back, between any two turns. */
  async #lease(): Promise<Result<RuntimeLease, FeatureFailure>> {
    const { host, owner, assets, clock } = this.#options;
    for (;;) {
      const lease = host.leaseOf(owner);
      if (lease !== null) {
        host.touch(owner, clock.nowMs());
        return ok(lease);
      }
      const acquired = await host.acquire(owner, assets);
      if (!acquired.ok) {
        return err({ ...acquired.error, code: 'not_ready' });
      }
    }
  }

  #turn(lease: RuntimeLease, grant: TurnGrant): void {
    const tokenLayersMax = this.#turnSize(lease, grant);
    if (this.#batch?.isUnwanted === true) {
      this.#batch = null;
    }
    this.#batch ??= this.#nextBatch(grant, tokenLayersMax);
    if (this.#batch?.advance(lease, tokenLayersMax) === true) {
      for (const window of this.#batch.windows) {
        if (window.isLast) {
          window.job.completeText(window);
        }
      }
      this.#batch = null;
      this.#queue.dropEnded();
    }
  }

  /** Tokens times layers. */
  #turnSize({ config }: RuntimeLease, grant: TurnGrant): number {
    const { turnTokenLayersMax, stepShare } = this.#limits;
    return grant.kind === 'idle'
      ? turnTokenLayersMax
      : Math.min(turnTokenLayersMax, stepShare * config.numLayers * Math.max(STEP_TOKENS_MIN, grant.numTokens));
  }

  #nextBatch(grant: TurnGrant, tokenLayersMax: number): FeatureBatch | null {
    const { numTokensMax, numPages } = this.#options.assignment;
    const pagesFor = pagesForTokens;
    const room = { numTokens: numTokensMax, numPages: NUM_FEATURE_PAGES, numWindows: Infinity, pagesFor };
    let windows: TextWindow[];
    if (grant.kind === 'idle') {
      windows = this.#queue.takeWindows(room);
    } else {
      // Beside streams one layer of the whole batch should fit in a turn; a single window may be more than that.
      windows = this.#queue.takeWindows({ ...room, numTokens: Math.min(numTokensMax, Math.floor(tokenLayersMax)) });
      windows = windows.length > 0 ? windows : this.#queue.takeWindows({ ...room, numWindows: 1 });
    }
    return windows.length === 0 ? null : new FeatureBatch(windows, numPages, numTokensMax);
  }

  #failAll(failure: FeatureFailure): void {
    for (const { job } of this.#batch?.windows ?? []) {
      job.fail(failure);
    }
    this.#batch = null;
    this.#queue.failAll(failure);
  }
}

function failureOf(result: Result<null, FeatureFailure>): FeatureFailure | null {
  return result.ok ? null : result.error;
}
