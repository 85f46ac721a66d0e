/** What the samples of the rings say about hops and pipelining. */
import { type BenchSample, medianOf, scenariosOf } from '../samples.ts';
import { type BenchRing, FOUR_STAGES, ONE_STAGE, TWO_PROCESSES, TWO_STAGES } from './rings.ts';

const ONE_STREAM = '1 stream';

/** Milliseconds for each token of one stream. */
function tokenMs(samples: readonly BenchSample[], ring: BenchRing): number | null {
  const rate = medianOf(samples, ring.name, ONE_STREAM);
  return rate === null ? null : 1000 / rate;
}

/** What each link of a ring adds to a token: serialising, sending, waking the neighbour, its share of the step. */
export function hopMs(samples: readonly BenchSample[], ring: BenchRing): number | null {
  const alone = tokenMs(samples, ONE_STAGE);
  const split = tokenMs(samples, ring);
  return alone === null || split === null ? null : (split - alone) / ring.stageCount;
}

/** Lines for the end of the report; those whose scenarios were not measured are left out. */
export function ringFigures(samples: readonly BenchSample[]): string[] {
  const lines: string[] = [];
  for (const ring of [TWO_STAGES, FOUR_STAGES, TWO_PROCESSES]) {
    const alone = tokenMs(samples, ONE_STAGE);
    const split = tokenMs(samples, ring);
    const hop = hopMs(samples, ring);
    if (alone !== null && split !== null && hop !== null) {
      const percent = ((split / alone - 1) * 100).toFixed(1);
      lines.push(`${ring.name}, 1 stream: ${percent} % more time a token than 1 stage, ${hop.toFixed(3)} ms a hop`);
    }
  }
  const rates = scenariosOf(samples).filter((name) => /^(\d+ streams|prefill .*)$/.test(name));
  for (const scenario of rates) {
    const alone = medianOf(samples, ONE_STAGE.name, scenario);
    const pipelined = medianOf(samples, TWO_PROCESSES.name, scenario);
    if (alone !== null && pipelined !== null) {
      lines.push(`${TWO_PROCESSES.name}, ${scenario}: ${(pipelined / alone).toFixed(2)} × the speed of 1 stage`);
    }
  }
  return lines;
}
