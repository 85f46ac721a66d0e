/** Where the kernel cases run: this process, or a Worker. Both are asked for calls and timed from outside. */
import { build, stop } from 'esbuild';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Log, LogLevel, Miniflare } from 'miniflare';
import { buildKernels, loadKernels } from '../../../wasm/build.ts';
import { type KernelCase, kernelCases } from '../../../wasm/bench/cases.ts';
import { COMPATIBILITY_DATE } from '../../plan/topology.ts';
import type { CaseInfo } from './worker.ts';

export interface KernelRunner {
  readonly name: string;
  /** Goes to the next case; null after the last. */
  next(): Promise<CaseInfo | null>;
  /** Calls the case so often. */
  run(calls: number): Promise<void>;
  stop(): Promise<void>;
}

export async function nodeRunner(): Promise<KernelRunner> {
  const cases = kernelCases(await loadKernels());
  let current: KernelCase | null = null;
  return {
    name: 'node',
    next: async () => {
      const next = cases.next();
      current = next.done === true ? null : next.value;
      return current;
    },
    run: async (calls) => {
      for (let call = 0; call < calls; call++) {
        current?.run();
      }
    },
    stop: async () => {},
  };
}

const MAIN_MODULE = 'bench.js';
const KERNELS_MODULE = 'kernels.wasm';
const ENTRY = `
import kernels from './${KERNELS_MODULE}';
import { createKernelWorker } from './worker.ts';
export default createKernelWorker(kernels);
`;

async function bundleWorker(): Promise<string> {
  try {
    const { outputFiles } = await build({
      stdin: { contents: ENTRY, resolveDir: import.meta.dirname, loader: 'ts' },
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'neutral',
      target: 'es2024',
      external: ['*.wasm'],
      logLevel: 'silent',
    });
    return outputFiles[0]?.text ?? '';
  } finally {
    // Otherwise the bundler's process stays.
    await stop();
  }
}

export async function workerdRunner(): Promise<KernelRunner> {
  const { wasmPath } = await buildKernels();
  const code = await bundleWorker();
  const kernels = Uint8Array.from(await readFile(wasmPath));
  const miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    workers: [
      {
        config: {
          name: 'kernel-bench',
          compatibilityDate: COMPATIBILITY_DATE,
          manifest: {
            mainModule: MAIN_MODULE,
            modulesRoot: path.dirname(wasmPath),
            modules: {
              [MAIN_MODULE]: { type: 'esm', contents: code },
              [KERNELS_MODULE]: { type: 'wasm', contents: kernels },
            },
          },
        },
      },
    ],
    log: new Log(LogLevel.ERROR),
    cf: false,
    enableDevRegistry: false,
    unsafeObservability: false,
    logRequests: false,
    telemetry: { enabled: false },
  });
  const url = await miniflare.ready;
  const get = async (pathAndQuery: string): Promise<string> => (await fetch(new URL(pathAndQuery, url))).text();
  return {
    name: 'workerd',
    next: async () => JSON.parse(await get('/next')) as CaseInfo | null,
    run: async (calls) => void (await get(`/run?calls=${calls}`)),
    stop: () => miniflare.dispose(),
  };
}
