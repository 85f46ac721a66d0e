import type { StepPace } from '../engine/step-loop.ts';
import { withDeadline, type Clock } from '../platform/clock.ts';
import type { FeatureLimits } from './limits.ts';

/** What a turn of features may compute: as much as it likes while nobody streams, or a share of a step. */
export type TurnGrant = { readonly kind: 'idle' } | { readonly kind: 'step'; readonly numTokens: number };

/**
 * Lets features work beside streams without holding them up: while steps go round the ring, each of them grants one turn
 * of a share of its own work, and an unused grant is lost. The engine tells about its steps.
 */
export class FeaturePace implements StepPace {
  readonly #clock: Clock;
  readonly #waitMsMax: number;
  #isStepping = false;
  #numTokensGranted: number | null = null;
  #wake: (() => void) | null = null;

  constructor(clock: Clock, { stepWaitMsMax }: Pick<FeatureLimits, 'stepWaitMsMax'>) {
    this.#clock = clock;
    this.#waitMsMax = stepWaitMsMax;
  }

  /** From now on turns wait for steps. */
  stepsBegin(): void {
    this.#isStepping = true;
  }

  stepSent(numTokens: number): void {
    this.#numTokensGranted = numTokens;
    this.#wake?.();
  }

  stepsEnd(): void {
    this.#isStepping = false;
    this.#wake?.();
  }

  /** Resolves when the next turn may begin. */
  async nextTurn(): Promise<TurnGrant> {
    if (this.#isStepping && this.#numTokensGranted === null) {
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await withDeadline(this.#clock, this.#waitMsMax, news);
      this.#wake = null;
    }
    const numTokens = this.#numTokensGranted ?? 1;
    this.#numTokensGranted = null;
    if (!this.#isStepping) {
      return { kind: 'idle' };
    }
    // The step's frame leaves first: then the other stages work meanwhile.
    await this.#clock.yieldToEvents();
    return { kind: 'step', numTokens };
  }
}
