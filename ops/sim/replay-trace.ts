/** `npm run sim -- --trace <file>`: two hours of recorded requests in simulated time. */
import { readFile } from 'node:fs/promises';
import { replay, type RecordedRequest, type ReplayReport } from '../../shards/sim/replay.ts';
import { parseTrace, scaleTrace } from '../bench/serve/trace.ts';
import { createSimWorld } from './world.ts';

const HOUR_MS = 3_600_000;
const NUM_HOURS = 2;
/** Far beyond any published trace of an hour. */
const REQUESTS_MAX = 200_000;
/** Prompt and answer together fit into the simulated context of 512 tokens: answers of the traces are much shorter. */
const PROMPT_TOKENS_MAX = 440;
const OUTPUT_TOKENS_MAX = 64;

/** One recorded hour, each time filled to an hour and played again until there is enough. */
function stretch(text: string): RecordedRequest[] {
  const hour = scaleTrace(parseTrace(text, REQUESTS_MAX), {
    requestsMax: REQUESTS_MAX,
    spanMs: HOUR_MS,
    promptTokensMax: PROMPT_TOKENS_MAX,
  });
  return Array.from({ length: NUM_HOURS }, (_, index) =>
    hour.map(({ arrivalMs, promptTokens, outputTokens }) => ({
      arrivalMs: arrivalMs + index * HOUR_MS,
      promptTokens,
      outputTokens: Math.min(OUTPUT_TOKENS_MAX, outputTokens),
    })),
  ).flat();
}

const PROGRESS_EVERY_MS = 10 * 60_000;

export async function replayTrace(file: string, seed: number): Promise<ReplayReport> {
  const requests = stretch(await readFile(file, 'utf8'));
  const world = await createSimWorld({ canary: null });
  console.log(`${requests.length} requests in ${NUM_HOURS} hours`);
  return replay({
    ...world,
    seed,
    requests,
    onProgress(simulatedMs, numOpen) {
      if (Math.round(simulatedMs) % PROGRESS_EVERY_MS === 0) {
        console.log(`${Math.round(simulatedMs / 60_000)} minutes, ${numOpen} requests to come or under way`);
      }
    },
  });
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.floor(q * (sorted.length - 1))] ?? 0;

export function describeReplay({ peakPages, numPages, ttftMs }: ReplayReport): string {
  return [
    `pages: at most ${peakPages} of ${numPages} of a replica were held by sequences`,
    `time to the first token: median ${quantile(ttftMs, 0.5)} ms, 99 % ${quantile(ttftMs, 0.99)} ms, longest ${ttftMs.at(-1)} ms`,
  ].join('\n');
}
