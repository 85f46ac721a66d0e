/** A run as a stream of lines. It reads from storage, at its reader's pace: a slow one costs no memory. */
import { isEnded, type RunLine, type RunSnapshot } from './run.ts';

export interface FollowOptions {
  /** Number of the first chunk to send. */
  readonly first: number;
  /** Chunks from a number on, as many as lie together; none when they are not there yet. */
  readonly chunksFrom: (first: number) => readonly string[];
  /** Null when the run has been removed. */
  readonly snapshot: () => RunSnapshot | null;
  /** Resolves when there may be more; null when there is nothing to wait for. */
  readonly changed: () => Promise<void> | null;
  /** The stream has ended, or its reader went away. Called once. */
  readonly onEnd: () => void;
}

/** A byte stream, since only those cross the RPC of an object. */
export function followRun(options: FollowOptions): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const source = new LineSource(options);
  let isOver = false;
  const finish = (): void => {
    if (!isOver) {
      isOver = true;
      options.onEnd();
    }
  };
  return new ReadableStream(
    {
      type: 'bytes',
      async pull(controller) {
        const lines = await source.next(() => isOver);
        if (isOver) {
          return;
        }
        if (lines.length > 0) {
          controller.enqueue(encoder.encode(lines.map((line) => `${JSON.stringify(line)}\n`).join('')));
        }
        if (lines.length === 0 || lines.at(-1)?.type === 'end') {
          finish();
          controller.close();
          // A pending read with a buffer of its own ends only when it is answered.
          controller.byobRequest?.respond(0);
        }
      },
      cancel: finish,
    },
    { highWaterMark: 0 },
  );
}

class LineSource {
  readonly #options: FollowOptions;
  #nextNumber: number;
  #hasServing = false;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#nextNumber = options.first;
  }

  /** Lines as soon as there are some; none when the run has been removed or `isOver`. */
  async next(isOver: () => boolean): Promise<RunLine[]> {
    for (;;) {
      const snapshot = this.#options.snapshot();
      if (snapshot === null || isOver()) {
        return [];
      }
      const lines = this.#take(snapshot);
      if (lines.length > 0) {
        return lines;
      }
      const change = this.#options.changed();
      if (change === null) {
        // What is there is all that can be had now.
        return [{ type: 'end', snapshot }];
      }
      await change;
    }
  }

  #take(snapshot: RunSnapshot): RunLine[] {
    const lines: RunLine[] = [];
    if (!this.#hasServing && snapshot.serving !== null) {
      this.#hasServing = true;
      lines.push({ type: 'serving', serving: snapshot.serving });
    }
    const chunks = this.#nextNumber < snapshot.numChunks ? this.#options.chunksFrom(this.#nextNumber) : [];
    chunks.forEach((data) => lines.push({ type: 'chunk', number: this.#nextNumber++, data }));
    if (this.#nextNumber >= snapshot.numChunks && isEnded(snapshot.status)) {
      lines.push({ type: 'end', snapshot });
    }
    return lines;
  }
}
