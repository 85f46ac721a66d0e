/** Waiting that ends early when the client goes away. */
import type { Clock } from '../platform/clock.ts';

/** The client is gone; nobody waits for the result. */
export class AbortedError extends Error {
  override readonly name = 'AbortedError';

  constructor() {
    super('the request was aborted');
  }
}

/** Resolves after `delayMs`, or at once when `signal` is aborted. */
export async function sleepUnlessAborted(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  let wake = (): void => {};
  const woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const timer = clock.startTimer(delayMs, wake);
  signal.addEventListener('abort', wake);
  if (!signal.aborted) {
    await woken;
  }
  timer.cancel();
  signal.removeEventListener('abort', wake);
}

/**
 * Waits for `promise` unless `signal` is aborted first.
 * @param onLate gets the value when it comes after that, to give back what it holds.
 * @throws AbortedError when aborted.
 */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  onLate: (value: T) => void,
): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new AbortedError());
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) {
      onAbort();
    }
  });
  try {
    return await Promise.race([promise, aborted]);
  } catch (error) {
    // When the promise itself failed there is nothing to give back; when it fails later nobody is left to tell.
    promise.then(onLate, () => {});
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
