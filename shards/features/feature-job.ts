import { ByteStream } from '../engine/byte-stream.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { encodeFeatureFrame, encodeFeatureSize } from './feature-frames.ts';
import type { FeatureAnswer, FeatureFailure, FeatureRequest } from './feature-protocol.ts';
import type { FeatureLimits } from './limits.ts';
import { TextPool } from './pool-text.ts';
import { WholeAnswer } from './whole-answer.ts';

const F32_BYTES = 4;

/** Some tokens of one text that see each other. */
export interface TextWindow {
  readonly job: FeatureJob;
  readonly textIndex: number;
  readonly tokens: readonly number[];
  readonly pool: TextPool;
  /** Whether the text is complete with it. */
  readonly isLast: boolean;
}

export interface FeatureJobOptions {
  readonly request: FeatureRequest;
  readonly hiddenSize: number;
  readonly clock: Clock;
  readonly limits: FeatureLimits;
  /** Tokens of a micro-batch: a request of no more is answered in one piece, where that is taken. */
  readonly numTokensMax: number;
  /** The job may go on, or has ended without the extractor's doing. */
  readonly onChange: () => void;
}

/** A request for features while it is not answered: hands out its windows in order, and sends rows as texts complete. */
export class FeatureJob {
  readonly request: FeatureRequest;
  readonly numTokens: number;
  readonly #options: FeatureJobOptions;
  readonly #output: ByteStream | WholeAnswer;
  #stallTimer: Timer | null = null;
  #hasEnded = false;
  #numRowsLeft: number;
  /** Where the next window begins. */
  #textIndex = 0;
  #textOffset = 0;
  #pool: TextPool | null = null;

  constructor(options: FeatureJobOptions) {
    const { texts, parts } = options.request;
    this.request = options.request;
    this.numTokens = texts.reduce((sum, tokens) => sum + tokens.length, 0);
    this.#options = options;
    this.#numRowsLeft = texts.length;
    this.#output = this.#isSmall() ? new WholeAnswer() : this.#createStream();
    this.#output.write(encodeFeatureSize(parts.length * options.hiddenSize));
  }

  /** A stream at once, or the whole answer when it is complete. */
  async answer(): Promise<FeatureAnswer> {
    return this.#output instanceof WholeAnswer ? this.#output.bytes : this.#output.readable;
  }

  /** Answered in full, failed, or given up by its reader. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Tokens of the next window; null when none is left or the reader does not keep up. */
  get nextWindowTokens(): number | null {
    const { texts, windowTokens } = this.request;
    const text = texts[this.#textIndex];
    const isWaiting = this.#hasEnded || this.#stallTimer !== null;
    return text === undefined || isWaiting ? null : Math.min(windowTokens, text.length - this.#textOffset);
  }

  /** The window that `nextWindowTokens` told of. */
  takeWindow(): TextWindow {
    const { texts, parts, windowTokens } = this.request;
    const text = texts[this.#textIndex] ?? [];
    const textIndex = this.#textIndex;
    const pool = (this.#pool ??= new TextPool(parts, this.#options.hiddenSize));
    const tokens = text.slice(this.#textOffset, this.#textOffset + windowTokens);
    this.#textOffset += tokens.length;
    const isLast = this.#textOffset >= text.length;
    if (isLast) {
      this.#textIndex++;
      this.#textOffset = 0;
      this.#pool = null;
    }
    return { job: this, textIndex, tokens, pool, isLast };
  }

  /** The windows of a text are pooled: sends its row, and ends the answer with the last one. */
  completeText({ textIndex, pool }: TextWindow): void {
    if (this.#hasEnded) {
      return;
    }
    pool.finish(this.request.texts[textIndex]?.length ?? 1);
    this.#output.write(encodeFeatureFrame({ kind: 'row', textIndex, features: pool.features }));
    this.#numRowsLeft--;
    if (this.#numRowsLeft === 0) {
      this.#output.write(encodeFeatureFrame({ kind: 'end', numTokens: this.numTokens }));
      this.#end();
    } else if (this.#output.isFull && this.#stallTimer === null) {
      this.#pause();
    }
  }

  /** Ends the answer with an error; does nothing when it has ended. */
  fail(failure: FeatureFailure): void {
    if (!this.#hasEnded) {
      this.#output.write(encodeFeatureFrame({ kind: 'error', failure }));
      this.#end();
    }
  }

  #isSmall(): boolean {
    const { request, hiddenSize, limits, numTokensMax } = this.#options;
    const numValues = request.texts.length * request.parts.length * hiddenSize;
    const isFitting = this.numTokens <= numTokensMax && numValues * F32_BYTES <= limits.streamBytesMax;
    return request.isPieceTaken === true && isFitting;
  }

  #createStream(): ByteStream {
    const { limits, onChange } = this.#options;
    return new ByteStream(limits.streamBytesMax, {
      onDrained: () => this.#resume(),
      onCancel: () => {
        this.#close();
        onChange();
      },
    });
  }

  #pause(): void {
    const { clock, limits, onChange } = this.#options;
    this.#stallTimer = clock.startTimer(limits.readerStallMs, () => {
      const message = `nobody read the features for ${limits.readerStallMs} ms`;
      this.fail({ code: 'internal', message, retryable: true });
      onChange();
    });
  }

  #resume(): void {
    if (this.#stallTimer !== null) {
      this.#stallTimer.cancel();
      this.#stallTimer = null;
      this.#options.onChange();
    }
  }

  #end(): void {
    this.#close();
    this.#output.end();
  }

  #close(): void {
    this.#hasEnded = true;
    this.#stallTimer?.cancel();
    this.#stallTimer = null;
  }
}
