/** The time after the faults, in which everything has to be as if there had been none. */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { checkIdle } from './check-pages.ts';
import { checkCachedTokens, checkDeleted } from './check-tenants.ts';
import { check } from './failure.ts';
import type { Oracle } from './oracle.ts';
import { SMALL_STORE_BYTES, type SimPlan } from './plan.ts';
import { sendPlanned } from './send-planned.ts';
import type { Simulation } from './simulation.ts';
import { planAftermath, tenantName, type PlannedRequest } from './workload.ts';

/** Sent when all is well again, and once more while their tenant is deleted. */
const NUM_REQUESTS = 4;
/** With nothing in the way an answer takes some seconds; a deadline that a fault left behind may come first. */
const ANSWER_MS_MAX = 3 * 60_000;
/** Longer than a stalled reader is believed in and an idle ring stays open. */
const QUIESCENCE_MS = 5 * 60_000;
const PIN_MS = 60 * 60_000;
/** A deletion says when it has to be repeated; in quiet times that is not for ever. */
const DELETIONS_MAX = 3;

export async function runAftermath(simulation: Simulation, oracle: Oracle, plan: SimPlan): Promise<void> {
  await sendAndCheck(simulation, oracle, planAftermath(plan, NUM_REQUESTS), async () => {});
  checkCachedTokens(simulation.requests, simulation.operator.warmed);
  await warmAndCheck(simulation, oracle, plan);
  // What runs while its tenant is deleted is answered, and leaves nothing behind.
  const together = planAftermath(plan, NUM_REQUESTS).map((each) => ({ ...each, tenant: tenantName(1), delayMs: 0 }));
  await sendAndCheck(simulation, oracle, together, async () => {
    await simulation.runUntil(
      simulation.events.nowMs + ANSWER_MS_MAX,
      () => numTaken(simulation) === simulation.numOpen,
    );
    await deleteTenant(simulation, tenantName(1));
  });
  checkDeleted(simulation.cluster, tenantName(1));
  await simulation.runUntil(simulation.events.nowMs + QUIESCENCE_MS, () => false);
  await checkQuiescence(simulation);
  for (let index = 2; index <= plan.numTenants; index++) {
    await deleteTenant(simulation, tenantName(index));
    checkDeleted(simulation.cluster, tenantName(index));
  }
}

/** @param meanwhile what is done once they are on their way */
async function sendAndCheck(
  simulation: Simulation,
  oracle: Oracle,
  planned: readonly PlannedRequest[],
  meanwhile: () => Promise<void>,
): Promise<void> {
  const numBefore = simulation.requests.length;
  await sendPlanned(simulation, oracle, planned);
  await meanwhile();
  await simulation.runUntil(simulation.events.nowMs + ANSWER_MS_MAX, () => simulation.numOpen === 0);
  for (const { request, outcome } of simulation.requests.slice(numBefore)) {
    check(
      outcome?.kind === 'finished',
      'resumption',
      `${request.requestId}, sent after the faults, came to ${JSON.stringify(outcome)}`,
    );
  }
}

/** A prefix that is warmed on every replica is found by the next request that begins with it. */
async function warmAndCheck(simulation: Simulation, oracle: Oracle, plan: SimPlan): Promise<void> {
  const [planned] = planAftermath(plan, 1);
  check(planned !== undefined, 'crash', 'no request was planned');
  const expected = await oracle.pooled(planned.id);
  const { promptTokens, numPromptLogprobs } = expected.request;
  const prefix = { tenant: planned.tenant, tokens: promptTokens };
  for (const replica of simulation.cluster.replicas) {
    const warming = simulation.operator.warmPrefix(replica, prefix, PIN_MS);
    const warmed = await simulation.await(warming, ANSWER_MS_MAX, 'the warming of a prefix');
    if (!warmed.ok && plan.cluster.storeBytesMax === SMALL_STORE_BYTES) {
      // Its pages may have pushed each other out.
      return;
    }
    check(warmed.ok, 'resumption', `a prefix could not be warmed: ${JSON.stringify(warmed)}`);
  }
  simulation.send(0, { ...planned, expected });
  await simulation.runUntil(simulation.events.nowMs + ANSWER_MS_MAX, () => simulation.numOpen === 0);
  const finish = simulation.requests.at(-1)?.events.at(-1);
  check(finish?.type === 'finish', 'resumption', 'a request with a warm prefix was not answered');
  // At least one token is left to compute.
  const numReusable = Math.floor((promptTokens.length - 1) / PAGE_SIZE_TOKENS) * PAGE_SIZE_TOKENS;
  check(
    numPromptLogprobs !== null || finish.cachedTokens >= numReusable,
    'resumption',
    `of a warm prefix of ${promptTokens.length} tokens ${finish.cachedTokens} were found`,
  );
}

/** Requests that a head has queued or runs. */
function numTaken({ cluster }: Simulation): number {
  return cluster.replicas.reduce((sum, { engine }) => sum + (engine?.inspect().sequences.length ?? 0), 0);
}

async function deleteTenant(simulation: Simulation, tenant: string): Promise<void> {
  for (const replica of simulation.cluster.replicas) {
    let isDeleted = false;
    for (let i = 0; i < DELETIONS_MAX && !isDeleted; i++) {
      const deletion = simulation.operator.deleteTenant(replica, tenant);
      isDeleted = (await simulation.await(deletion, ANSWER_MS_MAX, 'the deletion of a tenant')).ok;
    }
    check(isDeleted, 'resumption', `${tenant} could not be deleted from ${replica.head.name}`);
  }
}

/** Without work a head holds nothing for anybody. */
async function checkQuiescence(simulation: Simulation): Promise<void> {
  for (const { engine, head } of simulation.cluster.replicas) {
    check(engine !== null, 'resumption', `${head.name} is not there`);
    checkIdle(head.name, engine);
    const { ringOpen } = await engine.stats();
    check(!ringOpen, 'resumption', `${head.name} keeps its ring open without work`);
  }
}
