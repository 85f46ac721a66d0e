/** The head shard behind its Durable Object stub. */
import type { EngineStats, GenerateRequest, HeadClient } from '../../shards/engine/protocol.ts';

/** Name of the object that serves a model, while there is one replica of each. */
const REPLICA_NAME = 'replica-0';

/**
 * What the stub of a `StageShard` offers. Written out, since the gateway's Worker does not import the class: it lives in
 * another script.
 */
interface HeadStub {
  generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>>;
  stats(): Promise<EngineStats>;
}

interface HeadNamespace {
  getByName(name: string): HeadStub;
}

/** @param binding the Durable Object namespace of the head shard's class. */
export function headStub(binding: unknown): HeadClient {
  const namespace = binding as HeadNamespace;
  return {
    // A stub is of no use after an exception: each call takes a new one, which costs nothing.
    generate: (request) => namespace.getByName(REPLICA_NAME).generate(request),
    stats: () => namespace.getByName(REPLICA_NAME).stats(),
  };
}
