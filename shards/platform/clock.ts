/** Time as the engine sees it. A simulator passes a clock that it winds by hand. */
export interface Clock {
  /** Milliseconds since an arbitrary start. In Workers it stands still while code runs between two awaits. */
  nowMs(): number;
  startTimer(delayMs: number, callback: () => void): Timer;
  /** Resolves after pending events (messages, cancellations, new requests) had their turn. */
  yieldToEvents(): Promise<void>;
}

export interface Timer {
  /** Does nothing when the timer has fired. */
  cancel(): void;
}

/** Where numbers that must not repeat come from: epoch ids and generations of KV contents. */
export interface Entropy {
  /** Uniform over all unsigned 32-bit integers. */
  uint32(): number;
}

/** Number of bits of an id from `randomId`: as many as a double holds exactly. */
const ID_HIGH_BITS = 21;

/** A positive safe integer that has not been used before, for all practical purposes. */
export function randomId(entropy: Entropy): number {
  const high = entropy.uint32() >>> (32 - ID_HIGH_BITS);
  return Math.max(1, high * 2 ** 32 + entropy.uint32());
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.startTimer(delayMs, resolve);
  });
}

/** Resolves with the promise's value, or with `'timeout'` after `deadlineMs`. The promise itself goes on. */
export async function withDeadline<T>(clock: Clock, deadlineMs: number, promise: Promise<T>): Promise<T | 'timeout'> {
  let timer: Timer | undefined;
  const timeout = new Promise<'timeout'>((resolve) => {
    timer = clock.startTimer(deadlineMs, () => resolve('timeout'));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    timer?.cancel();
  }
}
