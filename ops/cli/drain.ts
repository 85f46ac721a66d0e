/** Drains a replica through the operators' surface of a running gateway, and waits until it has nothing left. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DRAIN_MS_MAX } from '../../shards/platform/drain-mark.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type Progress, runStep } from '../support/progress.ts';
import { type AdminServer, drainReplica, readReplica, type ReplicaState } from './admin-client.ts';

/** How often it is looked whether a replica that drains has finished: answers take seconds. */
const POLL_MS = 500;

const isIdle = ({ num_running: running, num_waiting: waiting }: ReplicaState): boolean =>
  running === 0 && waiting === 0;

/**
 * Resolves when everything that the replica had is finished.
 * @returns the replica, as it was when it was told.
 * @throws OperatorError when it does not finish as long as the drain lasts, or stops draining.
 */
export async function drainUntilIdle(
  server: AdminServer,
  model: string,
  index: number,
  progress: Progress,
): Promise<ReplicaState> {
  const begun = await drainReplica(server, model, index);
  await runStep(progress, `Replica ${index} of ${begun.model}`, async (step) => {
    const endMs = performance.now() + DRAIN_MS_MAX;
    for (let state = begun; !isIdle(state); state = await readReplica(server, model, index)) {
      if (state.status !== 'draining' || performance.now() > endMs) {
        throw new OperatorError(
          'request_failed',
          `Replica ${index} is ${state.status}, with work that is not finished.`,
        );
      }
      step.note(`${state.num_running} running, ${state.num_waiting} waiting`);
      await sleep(POLL_MS);
    }
    return { value: null, outcome: 'finished' };
  });
  return begun;
}
