/** One seed from beginning to end: requests under faults, then a quiet phase in which everything has to be as before. */
import { runAftermath } from './aftermath.ts';
import { spoilClasses } from './canary.ts';
import type { SimFailure } from './failure.ts';
import type { Oracle } from './oracle.ts';
import { planSeed } from './plan.ts';
import { asFailure, Simulation, type SimReport, type SimWorld } from './simulation.ts';
import { runStorm } from './storm.ts';

export interface SimOptions extends SimWorld {
  readonly seed: number;
  readonly oracle: Oracle;
}

/** Ten times what the longest seeds need. */
const EVENTS_MAX = 500_000;

export async function simulate(options: SimOptions): Promise<SimReport> {
  const { seed, release, oracle } = options;
  const plan = planSeed(seed, release.manifest.config.numLayers);
  const { cluster, faults } = plan;
  const takeBugsOut = spoilClasses(options.canary);
  const simulation = new Simulation(options, { seed, cluster, faults, eventsMax: EVENTS_MAX });
  let failure: SimFailure | null = null;
  try {
    await runStorm(simulation, oracle, plan);
    await runAftermath(simulation, oracle, plan);
  } catch (thrown) {
    failure = asFailure(thrown);
  } finally {
    takeBugsOut();
  }
  return await simulation.report(failure);
}
