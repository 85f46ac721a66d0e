/** The time of the faults: requests and calls go on while everything breaks. */
import { check } from './failure.ts';
import type { Oracle } from './oracle.ts';
import type { SimPlan } from './plan.ts';
import { sendPlanned } from './send-planned.ts';
import type { Simulation } from './simulation.ts';
import { planCalls, planWorkload, type PlannedCall } from './workload.ts';

/** A client asks up to 16 times and waits up to two minutes each time; with a slow reader that is half an hour. */
const ENDING_MS_MAX = 60 * 60_000;

/** A reader that stalls is given up after a minute, and sequences behind it may need its pages first. */
const ABANDONED_MS_MAX = 10 * 60_000;

/** Ends when the faults have stopped and every request has ended. */
export async function runStorm(simulation: Simulation, oracle: Oracle, plan: SimPlan): Promise<void> {
  simulation.cluster.start();
  await sendPlanned(simulation, oracle, planWorkload(plan));
  for (const call of planCalls(plan)) {
    const { request } = await oracle.pooled(call.id);
    simulation.later(call.atMs, call.kind, () => makeCall(simulation, call, request.promptTokens));
  }
  simulation.chaos.start();
  await simulation.runUntil(plan.stormMs, () => false);
  simulation.chaos.end();
  const { events, operator, cluster } = simulation;
  await simulation.runUntil(events.nowMs + ENDING_MS_MAX, () => operator.numOpen === 0);
  check(operator.numOpen === 0, 'ending', `${operator.numOpen} calls have not ended`);
  for (const { engine } of cluster.replicas) {
    await engine?.resume();
  }
  await simulation.runUntil(events.nowMs + ENDING_MS_MAX, () => simulation.numOpen === 0);
  for (const { request, outcome } of simulation.requests) {
    check(outcome !== null, 'ending', `${request.requestId} has not ended`);
  }
  // Clients that are gone without a word are given up.
  const numLeft = (): number =>
    cluster.replicas.reduce((sum, { engine }) => sum + (engine?.inspect().sequences.length ?? 0), 0);
  await simulation.runUntil(events.nowMs + ABANDONED_MS_MAX, () => numLeft() === 0);
  check(numLeft() === 0, 'ending', `${numLeft()} sequences go on that nobody waits for`);
}

/** Faults may make a call fail: then it is not repeated. */
async function makeCall(simulation: Simulation, call: PlannedCall, tokens: readonly number[]): Promise<void> {
  const { operator, cluster } = simulation;
  const { tenant, lastingMs } = call;
  const replica = cluster.replicas[call.replicaIndex];
  check(replica !== undefined, 'crash', `there is no replica ${call.replicaIndex}`);
  const calls = {
    warm_prefix: () => operator.warmPrefix(replica, { tenant, tokens }, lastingMs),
    unpin_prefix: () => operator.unpinPrefix(replica, { tenant, tokens }),
    delete_tenant: () => operator.deleteTenant(replica, tenant),
    drain: async () => {
      await operator.drain(replica);
      simulation.later(lastingMs, 'resume', () => operator.resume(replica).catch(() => {}));
    },
  };
  await calls[call.kind]().catch(() => {});
}
