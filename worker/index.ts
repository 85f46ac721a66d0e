/** The gateway's Worker: `createGateway` with everything that only the Workers runtime has. */
import { systemClock, systemEntropy } from '../shards/platform/system.ts';
import { createGateway } from './gateway.ts';
import { consoleSink, reportErrorToConsole } from './metering/console-sink.ts';
import type { OriginBackend } from './origin/origin-backend.ts';
import { createOriginPool } from './origin/origin-pool.ts';
import { createModelFileReader } from './platform/asset-files.ts';
import { readSettings, type GatewayBindings } from './platform/environment.ts';
import { headStub } from './platform/head-stub.ts';
import { createOrigins } from './platform/origin-transports.ts';
import { createTextModels } from './tokenizer/text-model.ts';

interface Served {
  readonly gateway: ReturnType<typeof createGateway>;
  readonly origins: OriginBackend;
}

/** Bindings are the same for every request of an isolate, so one gateway, with its tokenizers, serves them all. */
let served: Served | null = null;

function createFrom(bindings: GatewayBindings): Served {
  const origins = createOriginPool({
    origins: createOrigins(bindings, systemClock),
    clock: systemClock,
    random: () => systemEntropy.uint32() / 2 ** 32,
  });
  const gateway = createGateway({
    ...readSettings(bindings),
    heads: (entry) => entry.backend.headBindings.map((name, index) => headStub(bindings[name], index)),
    origins,
    textModel: createTextModels(createModelFileReader(bindings.ASSETS)),
    servePage: (request) => bindings.ASSETS.fetch(request),
    clock: systemClock,
    epochMs: () => Date.now(),
    randomId: () => crypto.randomUUID().replaceAll('-', ''),
    randomSeed: () => systemEntropy.uint32(),
    metering: consoleSink,
    reportError: reportErrorToConsole,
  });
  return { gateway, origins };
}

export default {
  fetch(request: Request, bindings: GatewayBindings, context: ExecutionContext): Response | Promise<Response> {
    served ??= createFrom(bindings);
    // A Worker has no background: what looks after the origins rides on requests.
    context.waitUntil(served.origins.probe());
    return served.gateway.fetch(request);
  },
};
