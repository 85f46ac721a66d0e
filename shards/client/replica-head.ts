import type { DrainClient, PrefixClient } from '../engine/prefix-protocol.ts';
import type { HeadClient } from '../engine/protocol.ts';

/** Name of a replica's objects, the same in each of its scripts. */
export const replicaName = (replicaIndex: number): string => `replica-${replicaIndex}`;

/** Everything that a gateway asks of the head shard of a replica. */
export interface ReplicaHead extends HeadClient, PrefixClient, DrainClient {}
