import type { DrainClient, PrefixClient } from '../engine/prefix-protocol.ts';
import type { HeadClient } from '../engine/protocol.ts';

/** Everything that a gateway asks of the head shard of a replica. */
export interface ReplicaHead extends HeadClient, PrefixClient, DrainClient {}
