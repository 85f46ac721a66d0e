/** The head shard behind its Durable Object stub. */
import { replicaName, type ReplicaHead } from '../../shards/client/replica-head.ts';
import type { FeatureHead } from '../../shards/features/feature-protocol.ts';

type HeadStub = ReplicaHead & FeatureHead;

/** What the stub of a `StageShard` offers. The gateway's Worker does not import the class: it lives in another script. */
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
    drain: () => stub().drain(),
    resume: () => stub().resume(),
    extractFeatures: (request) => stub().extractFeatures(request),
  };
}
