/** Who listens to each sequence. A listener that does not keep up pauses its sequence, one that stalls is given up. */
import type { Clock, Timer } from '../platform/clock.ts';
import type { GenerateEvent } from './protocol.ts';
import type { Sequence } from './sequence.ts';

/** Where the events of one sequence go. */
export interface EventSink {
  /** Whether the next event should wait. */
  readonly isFull: boolean;
  write(event: GenerateEvent): void;
  end(): void;
}

interface Listener {
  readonly sink: EventSink;
  stallTimer: Timer | null;
}

export interface ListenersOptions {
  readonly clock: Clock;
  /** How long a full sink may take nothing. */
  readonly readerStallMs: number;
  /** Called for a sequence whose listener took nothing for so long. */
  readonly onStalled: (sequence: Sequence) => void;
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #listeners = new Map<Sequence, Listener>();

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  add(sequence: Sequence, sink: EventSink): void {
    this.#listeners.set(sequence, { sink, stallTimer: null });
  }

  /** Does nothing for a sequence that nobody listens to. */
  write(sequence: Sequence, event: GenerateEvent): void {
    const listener = this.#listeners.get(sequence);
    if (listener === undefined) {
      return;
    }
    listener.sink.write(event);
    if (listener.sink.isFull && !sequence.isPaused) {
      sequence.isPaused = true;
      const { clock, readerStallMs, onStalled } = this.#options;
      listener.stallTimer = clock.startTimer(readerStallMs, () => onStalled(sequence));
    }
  }

  /** There is room again. @returns whether the sequence was paused and may go on. */
  resume(sequence: Sequence): boolean {
    const listener = this.#listeners.get(sequence);
    if (!sequence.isPaused || listener === undefined) {
      return false;
    }
    listener.stallTimer?.cancel();
    sequence.isPaused = false;
    return true;
  }

  /** Nothing more will be written. Ending twice is harmless. */
  end(sequence: Sequence): void {
    const sink = this.#listeners.get(sequence)?.sink;
    this.forget(sequence);
    sink?.end();
  }

  /** The listener is gone: nobody is left to tell. */
  forget(sequence: Sequence): void {
    this.#listeners.get(sequence)?.stallTimer?.cancel();
    this.#listeners.delete(sequence);
  }
}
