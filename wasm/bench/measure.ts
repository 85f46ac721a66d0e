/** Timing for benchmarks: repeats for a fixed time after a warm-up, and takes the median of the rounds. */

const WARM_UP_MS = 150;
const NUM_ROUNDS = 7;
const ROUND_MS = 60;

/** Median seconds that one call of `run` takes. The warm-up lets the optimising compiler finish. */
export function secondsPerCall(run: () => void): number {
  const callsIn = (milliseconds: number): number => {
    const start = performance.now();
    let numCalls = 0;
    let elapsed = 0;
    do {
      run();
      numCalls += 1;
      elapsed = performance.now() - start;
    } while (elapsed < milliseconds);
    return elapsed / numCalls / 1000;
  };
  callsIn(WARM_UP_MS);
  const rounds = Array.from({ length: NUM_ROUNDS }, () => callsIn(ROUND_MS)).toSorted((a, b) => a - b);
  return rounds[rounds.length >> 1] ?? NaN;
}
