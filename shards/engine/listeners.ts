/**
 * Who listens to each sequence. A listener that does not keep up pauses its sequence, one that stalls is given up; one
 * that has nothing to hear gets signs of life.
 */
import type { Clock, Timer } from '../platform/clock.ts';
import type { EngineLoad, GenerateEvent } from './protocol.ts';
import { Pulse } from './pulse.ts';
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
  /** When its reader stopped reading, if it has. */
  stalledAtMs: number;
  /** Whether it has heard something since the last pulse. */
  hasHeard: boolean;
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
  readonly #pulse: Pulse;

  constructor(options: ListenersOptions) {
    this.#options = options;
    this.#pulse = new Pulse(options.clock, () => this.#beat());
  }

  /** Tells a new listener that its sequence was taken. */
  accept(sequence: Sequence, sink: EventSink, load: EngineLoad): void {
    this.#listeners.set(sequence, { sink, stallTimer: null, stalledAtMs: 0, hasHeard: true });
    sink.write({ type: 'accepted', load, nextWithinMs: this.#pulse.nextWithinMs });
    this.#pulse.start();
  }

  /** Does nothing for a sequence that nobody listens to. */
  write(sequence: Sequence, event: GenerateEvent): void {
    const listener = this.#listeners.get(sequence);
    if (listener === undefined) {
      return;
    }
    listener.hasHeard = true;
    listener.sink.write(event);
    if (listener.sink.isFull && !sequence.isPaused) {
      sequence.isPaused = true;
      const { clock, readerStallMs, onStalled } = this.#options;
      listener.stalledAtMs = clock.nowMs();
      listener.stallTimer = clock.startTimer(readerStallMs, () => onStalled(sequence));
    }
  }

  /** Those first whose readers have read nothing for longest. */
  byStall(sequences: readonly Sequence[]): Sequence[] {
    const sinceMs = (sequence: Sequence): number => this.#listeners.get(sequence)?.stalledAtMs ?? 0;
    return sequences.toSorted((a, b) => sinceMs(a) - sinceMs(b));
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
  /** @returns whether anybody listens. */
  #beat(): boolean {
    const { nextWithinMs } = this.#pulse;
    for (const listener of this.#listeners.values()) {
      // Whoever has not taken what there is finds it when it reads on.
      if (!listener.hasHeard && !listener.sink.isFull) {
        listener.sink.write({ type: 'alive', nextWithinMs });
      }
      listener.hasHeard = false;
    }
    return this.#listeners.size > 0;
  }
}
