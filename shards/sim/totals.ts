/** What all heads of a simulation did, those that died included. */
import type { EngineStats } from '../engine/protocol.ts';
import type { RingOpened } from '../link/ring-head.ts';
import type { StageFailure } from '../link/ring-protocol.ts';
import type { Result } from '../result.ts';
import type { ShardRole } from './shard.ts';

const ENGINE_TOTALS = [
  'numStepsTotal',
  'numPromptTokensTotal',
  'numAcceptedDraftTokensTotal',
  'numPreemptionsTotal',
  'numCachedTokensTotal',
  'numCopiedPagesTotal',
  'numSavedPagesTotal',
  'numRestoredPagesTotal',
  'numMissingPagesTotal',
] as const satisfies readonly (keyof EngineStats)[];

type EngineTotal = (typeof ENGINE_TOTALS)[number];

export interface ClusterTotals extends Readonly<Record<EngineTotal, number>> {
  /** Rings that opened, again or for the first time. */
  readonly numOpenings: number;
  /** Those of them whose stages still had all pages of the one before. */
  readonly numOpeningsWithPages: number;
  readonly numFailedOpenings: number;
}

export class Totals {
  readonly #stats: Promise<EngineStats>[] = [];
  #numOpenings = 0;
  #numOpeningsWithPages = 0;
  #numFailedOpenings = 0;

  /** At the end of a head's life. */
  addEngine(role: ShardRole): void {
    if (role.kind === 'head') {
      this.#stats.push(role.engine.stats());
    }
  }

  addOpening(opened: Result<RingOpened, StageFailure>): void {
    this.#numOpenings += opened.ok ? 1 : 0;
    this.#numOpeningsWithPages += opened.ok && opened.value.kvKept ? 1 : 0;
    this.#numFailedOpenings += opened.ok ? 0 : 1;
  }

  async read(): Promise<ClusterTotals> {
    const stats = await Promise.all(this.#stats);
    const totals = ENGINE_TOTALS.map((name) => [name, stats.reduce((sum, each) => sum + each[name], 0)] as const);
    return {
      ...(Object.fromEntries(totals) as Record<EngineTotal, number>),
      numOpenings: this.#numOpenings,
      numOpeningsWithPages: this.#numOpeningsWithPages,
      numFailedOpenings: this.#numFailedOpenings,
    };
  }
}
