/**
 * Collects the chunks of a run and writes them in batches. Readers see a chunk only when it is written, so that a number
 * never stands for two chunks, whatever happens in between.
 */
import type { GenerationJournal } from '../generation/journal.ts';
import type { Merged } from '../generation/merge.ts';
import type { TextEvent } from '../generation/text-sequence.ts';
import type { Clock, Timer } from '../../shards/platform/clock.ts';
import { badRequest } from '../api/openai/errors.ts';
import type { RunLimits } from './limits.ts';
import type { RunBatch } from './run-store.ts';

export interface BatchWriterOptions {
  /** Events of earlier lives. */
  readonly past: readonly Merged<TextEvent>[];
  /** Chunks of earlier lives: they are made from the past events again, and are there already. */
  readonly numPastChunks: number;
  readonly numPastBytes: number;
  readonly limits: RunLimits;
  readonly clock: Clock;
  readonly write: (batch: RunBatch) => void;
  /** Told when a batch could not be written whose time had come. */
  readonly onFailure: (thrown: unknown) => void;
}

const encoder = new TextEncoder();

export class BatchWriter implements GenerationJournal {
  readonly past: readonly Merged<TextEvent>[];
  readonly #options: BatchWriterOptions;
  #numKnown: number;
  #numBytesTotal: number;
  #chunks: string[] = [];
  #events: Merged<TextEvent>[] = [];
  #numBytes = 0;
  #hasWritten = false;
  #timer: Timer | null = null;

  constructor(options: BatchWriterOptions) {
    this.#options = options;
    this.past = options.past;
    this.#numKnown = options.numPastChunks;
    this.#numBytesTotal = options.numPastBytes;
  }

  note(event: Merged<TextEvent>): void {
    this.#count(encoder.encode(JSON.stringify(event)).length);
    this.#events.push(event);
  }

  /**
   * @param part a whole server-sent event of one line of data.
   * @throws ApiError when the run is larger than is kept.
   */
  add(part: string): void {
    if (this.#numKnown > 0) {
      this.#numKnown--;
      return;
    }
    const chunk = dataOf(part);
    this.#count(encoder.encode(chunk).length);
    this.#chunks.push(chunk);
    const { batchChunksMax, batchBytesMax, batchMs } = this.#options.limits;
    // The first one is what its client waits for.
    if (!this.#hasWritten || this.#chunks.length >= batchChunksMax || this.#numBytes >= batchBytesMax) {
      this.flush();
    } else {
      this.#timer ??= this.#options.clock.startTimer(batchMs, () => this.#flushInTime());
    }
  }

  /** Writes what is there. Events without a chunk wait for theirs, or are generated again. */
  flush(): void {
    this.stop();
    if (this.#chunks.length > 0) {
      const batch = { chunks: this.#chunks, events: this.#events, numBytes: this.#numBytes };
      this.#chunks = [];
      this.#events = [];
      this.#numBytes = 0;
      this.#hasWritten = true;
      this.#options.write(batch);
    }
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #flushInTime(): void {
    try {
      this.flush();
    } catch (thrown) {
      this.#options.onFailure(thrown);
    }
  }

  #count(numBytes: number): void {
    const { chunkBytesMax, runBytesMax } = this.#options.limits;
    this.#numBytes += numBytes;
    this.#numBytesTotal += numBytes;
    if (numBytes > chunkBytesMax || this.#numBytesTotal > runBytesMax) {
      const [what, limit] = numBytes > chunkBytesMax ? ['A chunk', chunkBytesMax] : ['The answer', runBytesMax];
      throw badRequest(
        `${what} is larger than the ${limit} bytes that are kept of a run. Ask for fewer log-probabilities or less ` +
          "text, or send the request without 'Idempotency-Key' and 'background'.",
        null,
        'run_too_large',
      );
    }
  }
}

const FRAME = /^data: (.*)\n\n$/;

function dataOf(part: string): string {
  const data = FRAME.exec(part)?.[1];
  if (data === undefined) {
    throw new Error('a chunk of a run is one server-sent event with one line of data');
  }
  return data;
}
