/** Turns what happens to sequences into events for their listeners, and ends sequences that have said all. */
import type { EngineCounters } from './counters.ts';
import type { Listeners } from './listeners.ts';
import type { GenerateEvent } from './protocol.ts';
import type { Scheduler } from './scheduler.ts';
import type { Sequence } from './sequence.ts';
import type { LogitsOutcome } from './take-logits.ts';
import type { WaitEstimate } from './wait-estimate.ts';

export type ErrorEvent = Extract<GenerateEvent, { type: 'error' }>;

export interface AnswersOptions {
  readonly scheduler: Scheduler;
  readonly listeners: Listeners;
  readonly counters: EngineCounters;
  readonly waitEstimate: WaitEstimate;
  /** Longest sequence, prompt and output together, whose tokens are computed. */
  readonly sequenceTokensMax: number;
  readonly stalledWaitingMax: number;
}

export class Answers {
  readonly #options: AnswersOptions;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  /** Sends what a row of logits led to. */
  apply(sequence: Sequence, outcome: LogitsOutcome): void {
    if (outcome.kind === 'prompt_logprob') {
      this.sendPromptLogprobs(sequence);
      return;
    }
    if (outcome.kind === 'stop') {
      this.#finish(sequence, 'stop');
      return;
    }
    const { scheduler, counters, listeners, sequenceTokensMax } = this.#options;
    counters.numGeneratedTokensTotal++;
    scheduler.noteOutput(sequence);
    counters.numAcceptedDraftTokensTotal += outcome.isAcceptedDraft ? 1 : 0;
    listeners.write(sequence, { type: 'token', tokenId: outcome.tokenId, logprob: outcome.logprob });
    // The last token that was chosen is only computed when another one is wanted.
    if (!sequence.wantsNextToken || sequence.tokens.length > sequenceTokensMax) {
      this.#finish(sequence, 'length');
    }
  }

  /** One event, once all log-probabilities of the prompt are there: at once for a prompt of one token. */
  sendPromptLogprobs(sequence: Sequence): void {
    if (sequence.hasPromptLogprobs) {
      this.#options.listeners.write(sequence, { type: 'prompt', logprobs: sequence.promptLogprobs });
    }
  }

  /** Ends sequences that have nothing left to choose: a prompt alone, or a resumed stream that was complete. */
  finishComplete(): void {
    const { scheduler, sequenceTokensMax } = this.#options;
    for (const sequence of scheduler.sequences) {
      const isPromptDone = sequence.numComputedTokens >= sequence.numPromptTokens || sequence.numOutputTokens > 0;
      const isComplete = !sequence.wantsNextToken && !sequence.wantsPromptLogprobs && isPromptDone;
      if (isComplete || sequence.tokens.length > sequenceTokensMax) {
        this.#finish(sequence, 'length');
      }
    }
  }

  /** Of the sequences that wait for their readers to read on, gives those up that are too many. */
  giveUpStalled(): void {
    const { scheduler, listeners, stalledWaitingMax } = this.#options;
    const { stalled } = scheduler;
    const numTooMany = Math.max(0, stalled.length - stalledWaitingMax);
    for (const sequence of listeners.byStall(stalled).slice(0, numTooMany)) {
      const message = `nobody reads the answer, and ${stalledWaitingMax} others wait for their readers already`;
      this.fail(sequence, { type: 'error', code: 'internal', message, retryable: true });
    }
  }

  fail(sequence: Sequence, event: ErrorEvent): void {
    this.#options.listeners.write(sequence, event);
    this.#end(sequence);
  }

  failAll(event: ErrorEvent): void {
    for (const sequence of this.#options.scheduler.sequences) {
      this.fail(sequence, event);
    }
  }

  /** The client is gone. Steps that are under way with the sequence's pages do no harm: see `PagePool`. */
  drop(sequence: Sequence): void {
    this.#options.listeners.forget(sequence);
    this.#options.scheduler.finish(sequence);
  }

  #finish(sequence: Sequence, reason: 'stop' | 'length'): void {
    const { numPromptTokens, numOutputTokens, numCachedTokens } = sequence;
    const counts = {
      promptTokens: numPromptTokens,
      completionTokens: numOutputTokens,
      cachedTokens: numCachedTokens ?? 0,
    };
    this.#options.waitEstimate.noteAnswer(numOutputTokens);
    this.#options.listeners.write(sequence, { type: 'finish', reason, ...counts });
    this.#end(sequence);
  }

  #end(sequence: Sequence): void {
    this.#options.scheduler.finish(sequence);
    this.#options.listeners.end(sequence);
  }
}
