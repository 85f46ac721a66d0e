import type { FeatureJob, TextWindow } from './feature-job.ts';
import type { FeatureFailure } from './feature-protocol.ts';
import type { FeatureLimits } from './limits.ts';

/** What a micro-batch has room for. */
export interface BatchRoom {
  readonly numTokens: number;
  readonly numPages: number;
  readonly numWindows: number;
  /** Pages that so many tokens need. */
  readonly pagesFor: (numTokens: number) => number;
}

/** The requests that are not answered. They take turns, window by window, so a large one does not hold up the others. */
export class FeatureQueue {
  readonly #limits: FeatureLimits;
  /** The next one to take a window from first. */
  #jobs: FeatureJob[] = [];

  constructor(limits: FeatureLimits) {
    this.#limits = limits;
  }

  /** Whether any request has a window to compute now. */
  get hasWindows(): boolean {
    return this.#jobs.some((job) => job.nextWindowTokens !== null);
  }

  get numTokens(): number {
    return this.#jobs.reduce((sum, job) => sum + job.numTokens, 0);
  }

  /** @returns null, or why there is no room for the request. */
  add(job: FeatureJob): FeatureFailure | null {
    this.dropEnded();
    const { requestsMax, queueTokensMax } = this.#limits;
    const isFull = this.#jobs.length >= requestsMax;
    // One alone may be larger than the queue: its texts are bounded by themselves.
    if (isFull || (this.#jobs.length > 0 && this.numTokens + job.numTokens > queueTokensMax)) {
      const waiting = isFull ? `${requestsMax} requests` : `${this.numTokens} tokens`;
      const message = `${waiting} wait for their features already: try again later or on another replica`;
      return { code: 'queue_full', message, retryable: true };
    }
    this.#jobs.push(job);
    return null;
  }

  /** Takes windows for a micro-batch, one of each request in turn, until the next one of none fits. */
  takeWindows(room: BatchRoom): TextWindow[] {
    const windows: TextWindow[] = [];
    let { numTokens, numPages } = room;
    for (let numPassed = 0; numPassed < this.#jobs.length && windows.length < room.numWindows;) {
      const [job, ...others] = this.#jobs as [FeatureJob, ...FeatureJob[]];
      const length = job.nextWindowTokens;
      this.#jobs = [...others, job];
      if (length !== null && length <= numTokens && room.pagesFor(length) <= numPages) {
        numTokens -= length;
        numPages -= room.pagesFor(length);
        windows.push(job.takeWindow());
        numPassed = 0;
      } else {
        numPassed++;
      }
    }
    return windows;
  }

  dropEnded(): void {
    this.#jobs = this.#jobs.filter((job) => !job.hasEnded);
  }

  failAll(failure: FeatureFailure): void {
    for (const job of this.#jobs) {
      job.fail(failure);
    }
    this.#jobs = [];
  }
}
