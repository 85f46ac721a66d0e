/** The head shard behind its Durable Object stub. */
import type { PrefixClient } from '../../shards/engine/prefix-protocol.ts';
import type { HeadClient } from '../../shards/engine/protocol.ts';

/** Name of a replica's objects, the same in each of its scripts. */
const replicaName = (replicaIndex: number): string => `replica-${replicaIndex}`;

/**
 * What the stub of a `StageShard` offers. Written out, since the gateway's Worker does not import the class: it lives in
 * another script.
 */
type HeadStub = HeadClient & PrefixClient;

interface HeadNamespace {
  getByName(name: string): HeadStub;
}

/** @param binding the Durable Object namespace of the head shard's class in the replica's script. */
export function headStub(binding: unknown, replicaIndex: number): HeadStub {
  // A stub is of no use after an exception: each call takes a new one, which costs nothing.
  const stub = (): HeadStub => (binding as HeadNamespace).getByName(replicaName(replicaIndex));
  return {
    generate: (request) => stub().generate(request),
    stats: () => stub().stats(),
    warmPrefix: (request) => stub().warmPrefix(request),
    unpinPrefix: (prefix) => stub().unpinPrefix(prefix),
    deleteTenant: (cacheSalt) => stub().deleteTenant(cacheSalt),
  };
}
