/** `lamina replicas`: what the replicas of a running platform do; one can be drained, and take requests again. */
import { DRAIN_MS_MAX } from '../../../shards/platform/drain-mark.ts';
import { LOCAL_ADMIN_KEY } from '../../../worker/auth/keyring.ts';
import { LITE_MODEL_ID } from '../../plan/topology.ts';
import { formatTable } from '../../support/format.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { type AdminServer, listReplicas, resumeReplica } from '../admin-client.ts';
import { commandContext, resolvePort } from '../context.ts';
import { drainUntilIdle } from '../drain.ts';

export interface ReplicasFlags {
  readonly home?: string;
  readonly url?: string;
  readonly key?: string;
}

export interface ReplicaFlags extends ReplicasFlags {
  readonly model?: string;
}

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

/** Returns when everything that the replica had is finished. */
export async function drainReplicaCommand(indexText: string, flags: ReplicaFlags): Promise<void> {
  const { print, progress } = commandContext(flags);
  const [server, model, index] = [serverOf(flags), flags.model ?? LITE_MODEL_ID, parseIndex(indexText)];
  const begun = await drainUntilIdle(server, model, index, progress);
  print(`Replica ${index} of ${begun.model} is drained for ${DRAIN_MS_MAX / 60_000} minutes.`);
}

export async function resumeReplicaCommand(indexText: string, flags: ReplicaFlags): Promise<void> {
  const { print } = commandContext(flags);
  const { model, index } = await resumeReplica(serverOf(flags), flags.model ?? LITE_MODEL_ID, parseIndex(indexText));
  print(`Replica ${index} of ${model} takes requests.`);
}
