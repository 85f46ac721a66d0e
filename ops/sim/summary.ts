/** What many seeds came to, added up and as text. */
import { FAULT_KINDS, type FaultKind } from '../../shards/sim/faults.ts';
import type { SeedReport } from './run-seed.ts';

export class Summary {
  readonly #faults = new Map<FaultKind, number>();
  readonly #counts = new Map<string, number>();
  readonly failed: SeedReport[] = [];
  numSeeds = 0;
  numEvents = 0;
  simulatedMs = 0;

  add(report: SeedReport): void {
    this.numSeeds++;
    this.numEvents += report.numEvents;
    this.simulatedMs += report.simulatedMs;
    for (const kind of FAULT_KINDS) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + report.faults[kind]);
    }
    for (const [name, count] of Object.entries(report.counts)) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
    }
    if (report.failure !== null) {
      this.failed.push(report);
    }
  }

  /** One line while it runs. */
  progress(numSeedsInAll: number): string {
    return `${this.numSeeds} of ${numSeedsInAll} seeds, ${this.#numFaults()} faults, ${this.failed.length} failed`;
  }

  toString(): string {
    const hours = (this.simulatedMs / 3_600_000).toFixed(1);
    return [
      `${this.numSeeds} seeds, ${this.numEvents} events in ${hours} simulated hours, ${this.#numFaults()} faults`,
      table('faults', this.#faults),
      table('what came of it', this.#counts),
    ].join('\n\n');
  }

  #numFaults(): number {
    return [...this.#faults.values()].reduce((sum, count) => sum + count, 0);
  }
}

function table(title: string, rows: ReadonlyMap<string, number>): string {
  const width = Math.max(...[...rows.keys()].map(({ length }) => length));
  const line = ([name, count]: [string, number]): string => `  ${name.padEnd(width)} ${String(count).padStart(10)}`;
  return [title, ...[...rows].map(line)].join('\n');
}

/** Events that are shown of a seed that failed. */
const LAST_EVENTS_SHOWN = 40;

export function describeFailure({ seed, failure, lastEvents }: SeedReport, canary: string | null): string {
  const replay = `npm run sim -- --seed ${seed}${canary === null ? '' : ` --canary ${canary}`}`;
  return [
    `seed ${seed} failed: ${failure?.checker}: ${failure?.message}`,
    `replay with: ${replay}`,
    'last events:',
    ...lastEvents.slice(-LAST_EVENTS_SHOWN).map((line) => `  ${line}`),
  ].join('\n');
}
