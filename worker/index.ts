/** The gateway's Worker: `createGateway` with everything that only the Workers runtime has. */
import { systemClock, systemEntropy } from '../shards/platform/system.ts';
import { createProjections } from './embeddings/projection.ts';
import { createGateway, createRouteDeps, type GatewayDeps, type RouteDeps } from './gateway.ts';
import { consoleSink, reportErrorToConsole } from './metering/console-sink.ts';
import type { OriginBackend } from './origin/origin-backend.ts';
import { createOriginPool } from './origin/origin-pool.ts';
import { createModelFileReader } from './platform/asset-files.ts';
import { classifierStubs } from './platform/classifier-stubs.ts';
import { readSettings, type GatewayBindings } from './platform/environment.ts';
import { headStub } from './platform/head-stub.ts';
import { createOrigins } from './platform/origin-transports.ts';
import { prefixShardStubs } from './platform/prefix-shard.ts';
import { RunShardObject, runShardStubs } from './platform/run-shard.ts';
import type { RingEntry } from './routing/catalog.ts';
import { createTextModels } from './tokenizer/text-model.ts';

interface Served {
  readonly gateway: ReturnType<typeof createGateway>;
  readonly origins: OriginBackend;
  readonly routeDeps: RouteDeps;
}

/** Bindings are the same for every request of an isolate, so one gateway, with its tokenizers, serves them all, and its objects. */
let served: Served | null = null;

function createFrom(bindings: GatewayBindings): Served {
  const origins = createOriginPool({
    origins: createOrigins(bindings, systemClock),
    clock: systemClock,
    random: () => systemEntropy.uint32() / 2 ** 32,
  });
  const readModelFile = createModelFileReader(bindings.ASSETS);
  const heads = ({ backend }: RingEntry) => backend.headBindings.map((name, index) => headStub(bindings[name], index));
  const deps: GatewayDeps = {
    ...readSettings(bindings),
    heads,
    featureHeads: heads,
    origins,
    textModel: createTextModels(readModelFile),
    projection: createProjections(readModelFile),
    servePage: (request) => bindings.ASSETS.fetch(request),
    clock: systemClock,
    epochMs: () => Date.now(),
    randomId: () => crypto.randomUUID().replaceAll('-', ''),
    randomSeed: () => systemEntropy.uint32(),
    runs: runShardStubs(bindings.RUNS),
    prefixes: prefixShardStubs(bindings.PREFIXES),
    classifiers: classifierStubs(bindings.CLASSIFIERS, bindings.CLASSIFIER_INDEX),
    metering: consoleSink,
    reportError: reportErrorToConsole,
  };
  const routeDeps = createRouteDeps(deps);
  return { gateway: createGateway(deps, routeDeps), origins, routeDeps };
}

/** The runs of a tenant: see `RunHost`. In this script, whose tokenizers it shares. */
export class RunShard extends RunShardObject {
  protected override routeDeps(bindings: GatewayBindings): RouteDeps {
    served ??= createFrom(bindings);
    return served.routeDeps;
  }
}

export { PrefixShard } from './platform/prefix-shard.ts';

export default {
  fetch(request: Request, bindings: GatewayBindings, context: ExecutionContext): Response | Promise<Response> {
    served ??= createFrom(bindings);
    // A Worker has no background: what looks after the origins rides on requests.
    context.waitUntil(served.origins.probe());
    return served.gateway.fetch(request);
  },
};
