/** How the replicas of a model are, for operators. */
import type { Replica, ReplicaSet } from '../../shards/client/replica-set.ts';
import type { EngineStats } from '../../shards/engine/protocol.ts';

export interface ReplicaHealth {
  readonly index: number;
  readonly status: 'ok' | 'failing';
  /** Null when it does not answer. */
  readonly stats: EngineStats | null;
}

export interface RingHealth {
  readonly model: string;
  /** `degraded`: some replicas do not answer, the others serve. */
  readonly status: 'ok' | 'degraded' | 'failing';
  readonly replicas: readonly ReplicaHealth[];
}

export async function ringHealth(
  model: string,
  set: ReplicaSet,
  reportError: (subject: string, thrown: unknown) => void,
): Promise<RingHealth> {
  const replicas = await Promise.all(set.replicas.map((replica) => replicaHealth(model, replica, reportError)));
  const numOk = replicas.filter(({ status }) => status === 'ok').length;
  return { model, status: numOk === replicas.length ? 'ok' : numOk > 0 ? 'degraded' : 'failing', replicas };
}

async function replicaHealth(
  model: string,
  { index, head }: Replica,
  reportError: (subject: string, thrown: unknown) => void,
): Promise<ReplicaHealth> {
  try {
    return { index, status: 'ok', stats: await head.stats() };
  } catch (error) {
    reportError(`healthz ${model} replica ${index}`, error);
    return { index, status: 'failing', stats: null };
  }
}
