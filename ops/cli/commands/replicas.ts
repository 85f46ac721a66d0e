/** `lamina replicas`: what the replicas of a running platform do; one can be drained, and take requests again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DRAIN_MS_MAX } from '../../../shards/platform/drain-mark.ts';
import { LOCAL_ADMIN_KEY } from '../../../worker/auth/keyring.ts';
import { LITE_MODEL_ID } from '../../plan/topology.ts';
import { formatTable } from '../../support/format.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { runStep } from '../../support/progress.ts';
import {
  type AdminServer,
  drainReplica,
  listReplicas,
  readReplica,
  type ReplicaState,
  resumeReplica,
} from '../admin-client.ts';
import { commandContext, resolvePort } from '../context.ts';

export interface ReplicasFlags {
  readonly home?: string;
  readonly url?: string;
  readonly key?: string;
}

export interface ReplicaFlags extends ReplicasFlags {
  readonly model?: string;
}

/** How often it is looked whether a replica that drains has finished: answers take seconds. */
const POLL_MS = 500;

function serverOf(flags: ReplicasFlags): AdminServer {
  return {
    url: flags.url ?? `http://127.0.0.1:${resolvePort(undefined, process.env)}`,
    key: flags.key ?? process.env['LAMINA_ADMIN_KEY'] ?? LOCAL_ADMIN_KEY,
  };
}

function parseIndex(text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new OperatorError('usage', `"${text}" is not the number of a replica.`, 'They count from 0.');
  }
  return Number(text);
}

export async function listReplicasCommand(flags: ReplicasFlags): Promise<void> {
  const { print } = commandContext(flags);
  const replicas = await listReplicas(serverOf(flags));
  const columns = (['model', 'replica', 'status'] as const).map((title) => ({ title, align: 'left' as const }));
  const counts = (['running', 'waiting'] as const).map((title) => ({ title, align: 'right' as const }));
  const rows = replicas.map(({ model, index, status, num_running: running, num_waiting: waiting }) => [
    model,
    String(index),
    status,
    String(running ?? '-'),
    String(waiting ?? '-'),
  ]);
  formatTable([...columns, ...counts], rows).forEach((line) => print(line));
}

const isIdle = ({ num_running: running, num_waiting: waiting }: ReplicaState): boolean =>
  running === 0 && waiting === 0;

/** Resolves when everything that the replica had is finished. */
export async function drainReplicaCommand(indexText: string, flags: ReplicaFlags): Promise<void> {
  const { print, progress } = commandContext(flags);
  const [server, model, index] = [serverOf(flags), flags.model ?? LITE_MODEL_ID, parseIndex(indexText)];
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
  print(`Replica ${index} of ${begun.model} is drained for ${DRAIN_MS_MAX / 60_000} minutes.`);
}

export async function resumeReplicaCommand(indexText: string, flags: ReplicaFlags): Promise<void> {
  const { print } = commandContext(flags);
  const { model, index } = await resumeReplica(serverOf(flags), flags.model ?? LITE_MODEL_ID, parseIndex(indexText));
  print(`Replica ${index} of ${model} takes requests.`);
}
