/** Who asks what, and when: drawn from the seed before the first event, so that faults do not change it. */
import type { ClientBehaviour } from './client.ts';
import type { ClientFault } from './faults.ts';
import { OPERATOR_CALLS, type OperatorCall } from './operator.ts';
import type { SimPlan } from './plan.ts';
import { Random } from './random.ts';
import { CHOICES_MAX, NUM_CONVERSATIONS, TURNS_MAX, type RequestId } from './requests.ts';

export interface PlannedRequest {
  readonly id: RequestId;
  readonly tenant: string;
  /** After the request before it. */
  readonly delayMs: number;
  readonly behaviour: ClientBehaviour;
  /** Its stream breaks so long after it began; null when it does not. */
  readonly streamCutAfterMs: number | null;
  /** What its client does that is trouble; cut streams are counted when they are cut. */
  readonly faults: readonly ClientFault[];
}

export interface PlannedCall {
  readonly kind: OperatorCall;
  readonly atMs: number;
  readonly replicaIndex: number;
  /** Whose prompt is the prefix. */
  readonly id: RequestId;
  readonly tenant: string;
  /** How long a prefix is pinned or a replica drained. */
  readonly lastingMs: number;
}

const CALLS_MAX = 6;
const LASTING_MS_MAX = 10_000;
/** Few, so that prefixes come back. */
const CONVERSATIONS_MAX = 6;
const BURST_REQUESTS_MAX = 10;
const READ_PAUSE_MS_MAX = 4_000;
/** Events that a client waits for before it goes. */
const LEAVES_AFTER_MAX = 6;
const STREAM_CUT_MS_MAX = 2_000;

/** @param index from 1 */
export function tenantName(index: number): string {
  return `tenant-${index}`;
}

export function planWorkload(plan: SimPlan): PlannedRequest[] {
  const random = new Random(plan.seed).fork('workload');
  const conversations = Array.from({ length: random.between(1, CONVERSATIONS_MAX) }, () =>
    random.between(0, NUM_CONVERSATIONS - 1),
  );
  const happens = (kind: ClientFault): boolean => random.chance(plan.faults.clientProbability.get(kind) ?? 0);
  const planned: PlannedRequest[] = [];
  while (planned.length < plan.numRequests) {
    const isBurst = happens('burst');
    const numTogether = isBurst ? random.between(3, BURST_REQUESTS_MAX) : 1;
    for (let i = 0; i < numTogether; i++) {
      const leavesAfter = happens('client_gone') ? random.between(0, LEAVES_AFTER_MAX) : null;
      const isSlow = happens('slow_reader');
      const faults: ClientFault[] = isBurst && i === 0 ? ['burst'] : [];
      faults.push(...(leavesAfter === null ? [] : (['client_gone'] as const)));
      faults.push(...(isSlow ? (['slow_reader'] as const) : []));
      planned.push({
        id: {
          conversation: random.pick(conversations),
          turn: random.between(0, TURNS_MAX - 1),
          choice: random.between(0, CHOICES_MAX - 1),
        },
        tenant: tenantName(random.between(1, plan.numTenants)),
        delayMs: i > 0 ? 0 : random.exponential(plan.requestEveryMs),
        behaviour: { leavesAfter, readPauseMs: isSlow ? random.between(1, READ_PAUSE_MS_MAX) : 0 },
        streamCutAfterMs: happens('stream_cut') ? random.between(0, STREAM_CUT_MS_MAX) : null,
        faults,
      });
    }
  }
  return planned;
}

/** Calls that are no generations, over the time of the faults. */
export function planCalls(plan: SimPlan): PlannedCall[] {
  const random = new Random(plan.seed).fork('calls');
  return Array.from({ length: random.between(0, CALLS_MAX) }, () => ({
    kind: random.pick(OPERATOR_CALLS),
    atMs: random.float() * plan.stormMs,
    replicaIndex: random.between(0, plan.cluster.numReplicas - 1),
    id: { conversation: random.between(0, NUM_CONVERSATIONS - 1), turn: random.between(0, 1), choice: 0 },
    tenant: tenantName(random.between(1, plan.numTenants)),
    lastingMs: random.between(1, LASTING_MS_MAX),
  }));
}

/** Requests of patient clients, for the time after the faults. */
export function planAftermath(plan: SimPlan, numRequests: number): PlannedRequest[] {
  const random = new Random(plan.seed).fork('aftermath');
  return Array.from({ length: numRequests }, () => ({
    id: { conversation: random.between(0, NUM_CONVERSATIONS - 1), turn: random.between(0, 1), choice: 0 },
    tenant: tenantName(random.between(1, plan.numTenants)),
    delayMs: random.exponential(plan.requestEveryMs),
    behaviour: { leavesAfter: null, readPauseMs: 0 },
    streamCutAfterMs: null,
    faults: [],
  }));
}
