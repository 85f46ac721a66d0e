/** The clock and the randomness of the process itself: the same in workerd and in Node. */
import type { Clock, Entropy } from './clock.ts';

/** Both runtimes have it, but only one set of types says so; without it a timer of 0 ms does the same, later. */
const setImmediateOrNull = (globalThis as { setImmediate?: (callback: () => void) => unknown }).setImmediate ?? null;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  startTimer(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  yieldToEvents: () =>
    new Promise((resolve) => {
      if (setImmediateOrNull === null) {
        setTimeout(resolve, 0);
      } else {
        setImmediateOrNull(resolve);
      }
    }),
};

export const systemEntropy: Entropy = {
  uint32: () => crypto.getRandomValues(new Uint32Array(1))[0] as number,
};
