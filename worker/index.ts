/** The gateway's Worker: `createGateway` with everything that only the Workers runtime has. */
import { systemClock, systemEntropy } from '../shards/platform/system.ts';
import { createGateway } from './gateway.ts';
import { consoleSink, reportErrorToConsole } from './metering/console-sink.ts';
import { createModelFileReader } from './platform/asset-files.ts';
import { readSettings, type GatewayBindings } from './platform/environment.ts';
import { headStub } from './platform/head-stub.ts';
import { NO_ORIGINS } from './routing/no-origins.ts';
import { createTextModels } from './tokenizer/text-model.ts';

type Gateway = ReturnType<typeof createGateway>;

/** Bindings are the same for every request of an isolate, so one gateway, with its tokenizers, serves them all. */
let gateway: Gateway | null = null;

function createFrom(bindings: GatewayBindings): Gateway {
  return createGateway({
    ...readSettings(bindings),
    head: (entry) => headStub(bindings[entry.backend.headBinding]),
    origins: NO_ORIGINS,
    textModel: createTextModels(createModelFileReader(bindings.ASSETS)),
    servePage: (request) => bindings.ASSETS.fetch(request),
    clock: systemClock,
    epochMs: () => Date.now(),
    randomId: () => crypto.randomUUID().replaceAll('-', ''),
    randomSeed: () => systemEntropy.uint32(),
    metering: consoleSink,
    reportError: reportErrorToConsole,
  });
}

export default {
  fetch(request: Request, bindings: GatewayBindings): Response | Promise<Response> {
    gateway ??= createFrom(bindings);
    return gateway.fetch(request);
  },
};
