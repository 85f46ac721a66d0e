/** What was served to whom: one record per request that had a valid key. Bills, limits and charts are made from these. */
import type { Clock } from '../../shards/platform/clock.ts';

export interface ServedRecord {
  readonly requestId: string;
  readonly tenant: string;
  readonly surface: 'chat.completions' | 'completions';
  /** Catalog id; null when the request was refused before a model was found. */
  readonly model: string | null;
  readonly isStream: boolean;
  readonly numChoices: number;
  /** Each prompt counts once, however many choices it has. */
  readonly promptTokens: number;
  /** Tokens that were generated for the client, over all choices; those sent when it was cut off. */
  readonly completionTokens: number;
  readonly cachedTokens: number;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** From the request to the first token; null without one. */
  readonly ttftMs: number | null;
  readonly durationMs: number;
  readonly finishReasons: readonly ('stop' | 'length')[];
  readonly outcome: ServedOutcome;
  /** `code` of the error that the client got. */
  readonly errorCode: string | null;
  /** Times that a generation went on after its ring had failed. */
  readonly numResumes: number;
}

/** `refused`: a mistake of the client, nothing was generated. */
export type ServedOutcome = 'completed' | 'refused' | 'failed' | 'client_gone';

/** Where records go. Must not throw and not wait: it is called while an answer ends. */
export interface MeteringSink {
  record(record: ServedRecord): void;
}

interface MeterStart {
  readonly requestId: string;
  readonly tenant: string;
  readonly surface: ServedRecord['surface'];
  readonly startedAtMs: number;
}

interface MeterPlan {
  readonly model: string;
  readonly isStream: boolean;
  readonly numChoices: number;
  readonly promptTokens: number;
}

/** Collects one record and hands it over exactly once. */
export class RequestMeter {
  readonly #sink: MeteringSink;
  readonly #clock: Clock;
  readonly #start: MeterStart;
  readonly #startMs: number;
  #plan: MeterPlan | null = null;
  #completionTokens = 0;
  #cachedTokens = 0;
  #ttftMs: number | null = null;
  #finishReasons: ('stop' | 'length')[] = [];
  #numResumes = 0;
  #isEnded = false;

  constructor(sink: MeteringSink, clock: Clock, start: MeterStart) {
    this.#sink = sink;
    this.#clock = clock;
    this.#start = start;
    this.#startMs = clock.nowMs();
  }

  planned(plan: MeterPlan): void {
    this.#plan = plan;
  }

  sentTokens(numTokens: number): void {
    this.#ttftMs ??= this.#clock.nowMs() - this.#startMs;
    this.#completionTokens += numTokens;
  }

  /** @param unsentTokens generated and charged, but not part of the text, such as those of a stop string. */
  finishedChoice(reason: 'stop' | 'length', unsentTokens: number, cachedTokens: number): void {
    this.#finishReasons.push(reason);
    this.#completionTokens += unsentTokens;
    this.#cachedTokens += cachedTokens;
  }

  resumed(): void {
    this.#numResumes++;
  }

  /** The first call counts. */
  end(outcome: ServedOutcome, errorCode: string | null = null): void {
    if (this.#isEnded) {
      return;
    }
    this.#isEnded = true;
    this.#sink.record({
      ...this.#start,
      model: this.#plan?.model ?? null,
      isStream: this.#plan?.isStream ?? false,
      numChoices: this.#plan?.numChoices ?? 0,
      promptTokens: this.#plan?.promptTokens ?? 0,
      completionTokens: this.#completionTokens,
      cachedTokens: this.#cachedTokens,
      ttftMs: this.#ttftMs,
      durationMs: this.#clock.nowMs() - this.#startMs,
      finishReasons: this.#finishReasons,
      outcome,
      errorCode,
      numResumes: this.#numResumes,
    });
  }
}
