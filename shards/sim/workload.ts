/** Who asks what, and when: drawn from the seed before the first event, so that faults do not change it. */
import type { ClientBehaviour } from './client.ts';
import type { ClientFault } from './faults.ts';
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

/** Few, so that prefixes come back. */
const CONVERSATIONS_MAX = 6;
const BURST_REQUESTS_MAX = 10;
const READ_PAUSE_MS_MAX = 4_000;
/** Events that a client waits for before it goes. */
const LEAVES_AFTER_MAX = 6;
const STREAM_CUT_MS_MAX = 2_000;

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
        tenant: `tenant-${random.between(1, plan.numTenants)}`,
        delayMs: i > 0 ? 0 : random.exponential(plan.requestEveryMs),
        behaviour: { leavesAfter, readPauseMs: isSlow ? random.between(1, READ_PAUSE_MS_MAX) : 0 },
        streamCutAfterMs: happens('stream_cut') ? random.between(0, STREAM_CUT_MS_MAX) : null,
        faults,
      });
    }
  }
  return planned;
}

/** Requests of patient clients, for the time after the faults. */
export function planAftermath(plan: SimPlan, numRequests: number): PlannedRequest[] {
  const random = new Random(plan.seed).fork('aftermath');
  return Array.from({ length: numRequests }, () => ({
    id: { conversation: random.between(0, NUM_CONVERSATIONS - 1), turn: random.between(0, 1), choice: 0 },
    tenant: `tenant-${random.between(1, plan.numTenants)}`,
    delayMs: random.exponential(plan.requestEveryMs),
    behaviour: { leavesAfter: null, readPauseMs: 0 },
    streamCutAfterMs: null,
    faults: [],
  }));
}
