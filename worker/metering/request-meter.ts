/** Collects the record of one request and hands it over exactly once. */
import type { Clock } from '../../shards/platform/clock.ts';
import { costCny, type Tier } from '../routing/tiers.ts';
import type { MeteringSink, ServedOutcome, ServedRecord } from './served-record.ts';

interface MeterStart {
  readonly requestId: string;
  readonly tenant: string;
  readonly surface: ServedRecord['surface'];
  readonly startedAtMs: number;
}

/** What a request asked for. */
interface MeterRequest {
  readonly model: string;
  readonly isStream: boolean;
  readonly numChoices: number;
}

/** Who is about to serve it. */
interface MeterRoute {
  readonly servedModel: string;
  readonly tier: Tier;
  readonly fallbackReason: string | null;
  /** Counted by the ring's tokenizer, or estimated until an origin has counted. */
  readonly promptTokens: number;
  readonly isEstimated: boolean;
}

interface CountedUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly reasoningTokens: number;
}

export class RequestMeter {
  readonly #sink: MeteringSink;
  readonly #clock: Clock;
  readonly #start: MeterStart;
  readonly #startMs: number;
  #request: MeterRequest | null = null;
  #route: MeterRoute | null = null;
  #servedBy: string | null = null;
  #attempts = 0;
  #completionTokens = 0;
  #cachedTokens = 0;
  #reasoningTokens = 0;
  #ttftMs: number | null = null;
  #finishReasons: string[] = [];
  #numResumes = 0;
  #isEnded = false;

  /** @param past of a request that began before, with a meter that is lost: its age, and when its first token came. */
  constructor(
    sink: MeteringSink,
    clock: Clock,
    start: MeterStart,
    past: { readonly elapsedMs: number; readonly ttftMs: number | null } = { elapsedMs: 0, ttftMs: null },
  ) {
    this.#sink = sink;
    this.#clock = clock;
    this.#start = start;
    this.#startMs = clock.nowMs() - past.elapsedMs;
    this.#ttftMs = past.ttftMs;
  }

  get servedBy(): string | null {
    return this.#servedBy;
  }

  /** When the first token was there, from the start; null before. */
  get ttftMs(): number | null {
    return this.#ttftMs;
  }

  /** Called again when more is known. */
  requested(request: MeterRequest): void {
    this.#request = request;
  }

  /** Called again when another backend takes over, which only happens before anything was sent. */
  routed(route: MeterRoute): void {
    this.#route = route;
  }

  attempted(numCalls: number): void {
    this.#attempts += numCalls;
  }

  answeredBy(servedBy: string): void {
    this.#servedBy = servedBy;
  }

  sentTokens(numTokens: number): void {
    this.#ttftMs ??= this.#clock.nowMs() - this.#startMs;
    this.#completionTokens += numTokens;
  }

  finishedChoice(reason: string): void {
    this.#finishReasons.push(reason);
  }

  /** @param unsentTokens generated and charged, but not part of the text, such as those of a stop string. */
  finishedSequence(reason: string, unsentTokens: number, cachedTokens: number): void {
    this.#finishReasons.push(reason);
    this.#completionTokens += unsentTokens;
    this.#cachedTokens += cachedTokens;
  }

  /** What an origin has counted replaces what was counted on the way. */
  counted(usage: CountedUsage): void {
    this.#completionTokens = usage.completionTokens;
    this.#cachedTokens = usage.cachedTokens;
    this.#reasoningTokens = usage.reasoningTokens;
    if (this.#route !== null) {
      this.#route = { ...this.#route, promptTokens: usage.promptTokens, isEstimated: false };
    }
  }

  resumed(): void {
    this.#numResumes++;
  }

  /** Somebody else keeps the record of the request. */
  handOver(): void {
    this.#isEnded = true;
  }

  /** The first call counts. */
  end(outcome: ServedOutcome, errorCode: string | null = null): void {
    if (this.#isEnded) {
      return;
    }
    this.#isEnded = true;
    const route = this.#route;
    // What was sent is paid for. An answer in one piece that failed was not sent, whatever had been generated of it.
    const isStream = this.#request?.isStream ?? false;
    const hasSent = this.#completionTokens > 0 && (isStream || outcome === 'client_gone');
    const numTokens = (route?.promptTokens ?? 0) + this.#completionTokens;
    this.#sink.record({
      ...this.#start,
      model: this.#request?.model ?? null,
      servedModel: route?.servedModel ?? null,
      tier: route?.tier ?? null,
      servedBy: this.#servedBy,
      attempts: this.#attempts,
      fallbackReason: route?.fallbackReason ?? null,
      isStream,
      numChoices: this.#request?.numChoices ?? 0,
      promptTokens: route?.promptTokens ?? 0,
      completionTokens: this.#completionTokens,
      cachedTokens: this.#cachedTokens,
      reasoningTokens: this.#reasoningTokens,
      isEstimated: route?.isEstimated ?? false,
      costCny: route !== null && (outcome === 'completed' || hasSent) ? costCny(route.tier, numTokens) : 0,
      ttftMs: this.#ttftMs,
      durationMs: this.#clock.nowMs() - this.#startMs,
      finishReasons: this.#finishReasons,
      outcome,
      errorCode,
      numResumes: this.#numResumes,
    });
  }
}
