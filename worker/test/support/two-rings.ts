/** A gateway over two real rings of the tiny model, each behind a head that can be cut off or stopped by a test. */
import { fileAssets } from '../../../ops/testing/file-assets.ts';
import { createLocalEngine, type LocalEngineOptions } from '../../../shards/platform/local/local-engine.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { createGateway, type GatewayDeps } from '../../gateway.ts';
import type { ServedRecord } from '../../metering/served-record.ts';
import { CuttableHead } from './cuttable-head.ts';
import { gatewayDeps, tinyModelFolder } from './real-gateway.ts';

export interface TwoRings {
  readonly heads: readonly [CuttableHead, CuttableHead];
  /** A gateway that knows nothing of the rings yet. */
  newGateway(overrides?: Partial<GatewayDeps>): {
    readonly app: ReturnType<typeof createGateway>;
    readonly records: ServedRecord[];
    readonly errors: unknown[];
  };
  close(): Promise<void>;
}

export async function startTwoRings(limits: LocalEngineOptions['limits'] = {}): Promise<TwoRings> {
  const { folder, remove } = await tinyModelFolder();
  const kernels = await loadKernels();
  const open = () => createLocalEngine({ assets: fileAssets(folder), kernels, stageCount: 2, limits });
  const [first, second] = await Promise.all([open(), open()]);
  const heads = [new CuttableHead(first.engine), new CuttableHead(second.engine)] as const;
  return {
    heads,
    newGateway(overrides = {}) {
      const records: ServedRecord[] = [];
      const errors: unknown[] = [];
      const deps = gatewayDeps(folder, heads[0], records, errors);
      return { app: createGateway({ ...deps, heads: () => heads, ...overrides }), records, errors };
    },
    async close() {
      first.ring.close('the test is over');
      second.ring.close('the test is over');
      await remove();
    },
  };
}
