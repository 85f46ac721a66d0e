/** Many seeds, in this thread or side by side in several. */
import { Worker } from 'node:worker_threads';
import { runSeed, type SeedReport } from './run-seed.ts';
import { createSimWorld, type SimSettings } from './world.ts';

export interface SeedRun {
  readonly firstSeed: number;
  readonly numSeeds: number;
  /** 1 runs in this thread. */
  readonly jobs: number;
  readonly settings: SimSettings;
  /** Called in the order in which seeds end. @returns false to stop */
  readonly onReport: (report: SeedReport) => boolean;
}

export async function runSeeds(run: SeedRun): Promise<void> {
  const seeds = seedsOf(run);
  if (run.jobs === 1) {
    const world = await createSimWorld(run.settings);
    for (const seed of seeds) {
      if (!run.onReport(await runSeed(world, seed))) {
        return;
      }
    }
    return;
  }
  await Promise.all(Array.from({ length: run.jobs }, () => runThread(run, seeds)));
}

function* seedsOf({ firstSeed, numSeeds }: SeedRun): Generator<number> {
  for (let i = 0; i < numSeeds; i++) {
    yield firstSeed + i;
  }
}

/** Threads draw from one generator, so each seed runs once; one that says stop ends it for all. */
function runThread(run: SeedRun, seeds: Generator<number>): Promise<void> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./seed-thread.ts', import.meta.url), { workerData: run.settings });
    thread.on('error', reject);
    thread.on('message', (message: 'ready' | SeedReport) => {
      if (message !== 'ready' && !run.onReport(message)) {
        seeds.return(undefined);
      }
      const next = seeds.next();
      if (next.done === true) {
        void thread.terminate().then(() => resolve());
      } else {
        // A thread is no window: there is no origin to name.
        // oxlint-disable-next-line unicorn/require-post-message-target-origin
        thread.postMessage(next.value);
      }
    });
  });
}
