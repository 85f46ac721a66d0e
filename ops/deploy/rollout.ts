/** The replicas of a platform that runs, while a new version of it is deployed: one after the other, each without streams. */
import { type AdminServer, listReplicas, resumeReplica } from '../cli/admin-client.ts';
import { drainUntilIdle } from '../cli/drain.ts';
import { OperatorError } from '../support/operator-error.ts';
import type { Progress } from '../support/progress.ts';

export interface Rollout {
  /** Before the first script of a replica is deployed: returns when the replica has no stream left. */
  begin(replicaIndex: number): Promise<void>;
  /** Behind its last script: it takes requests again. */
  end(replicaIndex: number): Promise<void>;
}

export interface RolloutOptions {
  readonly server: AdminServer;
  /** Name under which the gateway serves the replicas. */
  readonly model: string;
  readonly progress: Progress;
}

/**
 * Drains replicas by the gateway that is deployed.
 * @throws OperatorError when the gateway does not answer, or no other replica would take the requests of one that drains.
 */
export async function startRollout({ server, model, progress }: RolloutOptions): Promise<Rollout> {
  const replicas = (await listReplicas(server)).filter((replica) => replica.model === model);
  const serving = replicas.filter(({ status }) => status === 'serving');
  if (serving.length < 2) {
    throw new OperatorError(
      'usage',
      `${serving.length} replicas of ${model} take requests: nobody would take those of one that is drained.`,
      'Deploy with --no-drain, and streams pause for some seconds while their replica is replaced; or wait until more serve.',
    );
  }
  // One that fails has no streams to wait for, one that is new does not exist, and one that somebody drains stays drained.
  const isDrained = (replicaIndex: number): boolean => serving.some(({ index }) => index === replicaIndex);
  return {
    async begin(replicaIndex) {
      if (isDrained(replicaIndex)) {
        await drainUntilIdle(server, model, replicaIndex, progress);
      }
    },
    async end(replicaIndex) {
      if (isDrained(replicaIndex)) {
        await resumeReplica(server, model, replicaIndex);
        progress.info(`Replica ${replicaIndex} of ${model} takes requests again.`);
      }
    },
  };
}
