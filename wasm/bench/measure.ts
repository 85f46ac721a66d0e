/**
 * Timing for benchmarks: the fastest of many short rounds. What disturbs a measurement (other processes, interrupts, the
 * optimising compiler) only ever adds time, and in short rounds it misses some of them.
 */

const WARM_UP_MS = 150;
const ROUND_MS = 3;
const ALL_ROUNDS_MS = 300;
const NUM_ROUNDS_MIN = 4;

/** Seconds that one call of `run` takes. */
export function secondsPerCall(run: () => void): number {
  callsFor(run, WARM_UP_MS);
  let fastest = Infinity;
  const start = performance.now();
  for (let round = 0; round < NUM_ROUNDS_MIN || performance.now() - start < ALL_ROUNDS_MS; round++) {
    fastest = Math.min(fastest, callsFor(run, ROUND_MS));
  }
  return fastest;
}

/** Calls `run` for some milliseconds, at least once. @returns seconds per call */
function callsFor(run: () => void, milliseconds: number): number {
  const start = performance.now();
  let numCalls = 0;
  let elapsed = 0;
  do {
    run();
    numCalls += 1;
    elapsed = performance.now() - start;
  } while (elapsed < milliseconds);
  return elapsed / numCalls / 1000;
}
