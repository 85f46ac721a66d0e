/** One seed from beginning to end: requests under faults, then a quiet phase in which everything has to be as before. */
import { spoilClasses } from './canary.ts';
import { checkIdle } from './check-pages.ts';
import { check, type SimFailure } from './failure.ts';
import type { Oracle } from './oracle.ts';
import { planSeed, type SimPlan } from './plan.ts';
import { asFailure, Simulation, type SimReport, type SimWorld } from './simulation.ts';
import { planAftermath, planWorkload, type PlannedRequest } from './workload.ts';

export interface SimOptions extends SimWorld {
  readonly seed: number;
  readonly oracle: Oracle;
}

/** Requests that are sent when all is well again. */
const AFTERMATH_REQUESTS = 4;
/** A client asks up to 16 times and waits up to two minutes each time; with a slow reader that is half an hour. */
const ENDING_MS_MAX = 60 * 60_000;
/** With nothing in the way an answer takes some seconds; a deadline that a fault left behind may come first. */
const AFTERMATH_MS_MAX = 3 * 60_000;
/** Longer than a stalled reader is believed in and an idle ring stays open. */
const QUIESCENCE_MS = 5 * 60_000;
/** Ten times what the longest seeds need. */
const EVENTS_MAX = 500_000;

export async function simulate(options: SimOptions): Promise<SimReport> {
  const { seed, release } = options;
  const plan = planSeed(seed, release.manifest.config.numLayers);
  const takeBugsOut = spoilClasses(options.canary);
  const simulation = new Simulation(options, {
    seed,
    cluster: plan.cluster,
    faults: plan.faults,
    eventsMax: EVENTS_MAX,
  });
  let failure: SimFailure | null = null;
  try {
    await runStorm(simulation, options.oracle, plan);
    await runAftermath(simulation, options.oracle, plan);
    await checkQuiescence(simulation);
  } catch (thrown) {
    failure = asFailure(thrown);
  } finally {
    takeBugsOut();
  }
  return await simulation.report(failure);
}

async function runStorm(simulation: Simulation, oracle: Oracle, plan: SimPlan): Promise<void> {
  simulation.cluster.start();
  await sendAll(simulation, oracle, planWorkload(plan));
  simulation.chaos.start();
  await simulation.runUntil(plan.stormMs, () => false);
  simulation.chaos.end();
  await simulation.runUntil(simulation.events.nowMs + ENDING_MS_MAX, () => simulation.numOpen === 0);
  for (const { request, outcome } of simulation.requests) {
    check(outcome !== null, 'ending', `${request.requestId} has not ended`);
  }
}

async function runAftermath(simulation: Simulation, oracle: Oracle, plan: SimPlan): Promise<void> {
  const numBefore = simulation.requests.length;
  await sendAll(simulation, oracle, planAftermath(plan, AFTERMATH_REQUESTS));
  await simulation.runUntil(simulation.events.nowMs + AFTERMATH_MS_MAX, () => simulation.numOpen === 0);
  for (const { request, outcome } of simulation.requests.slice(numBefore)) {
    check(
      outcome?.kind === 'finished',
      'resumption',
      `${request.requestId}, sent after the faults, came to ${JSON.stringify(outcome)}`,
    );
  }
}

/** Without work a head holds nothing for anybody. */
async function checkQuiescence(simulation: Simulation): Promise<void> {
  await simulation.runUntil(simulation.events.nowMs + QUIESCENCE_MS, () => false);
  for (const { engine, head } of simulation.cluster.replicas) {
    check(engine !== null, 'resumption', `${head.name} is not there`);
    checkIdle(head.name, engine);
    const { ringOpen } = await engine.stats();
    check(!ringOpen, 'resumption', `${head.name} keeps its ring open without work`);
  }
}

/** Draws up the expected answers first: time stands still meanwhile. */
async function sendAll(simulation: Simulation, oracle: Oracle, planned: readonly PlannedRequest[]): Promise<void> {
  let delayMs = 0;
  for (const each of planned) {
    const expected = await oracle.pooled(each.id);
    delayMs += each.delayMs;
    for (const kind of each.faults) {
      simulation.faults.add(kind);
    }
    simulation.send(delayMs, { ...each, expected });
  }
}
