/**
 * Speed of the kernels on one core: multiply-adds and bytes per second, beside the rate at which the same run can read
 * memory, and tokens per second of a model of SmolLM2-135M's shape with random weights. `npx node wasm/bench/kernels.ts`
 */
import { loadKernels } from '../build.ts';
import { kernelCases } from './cases.ts';
import { secondsPerCall } from './measure.ts';
import { benchModel } from './model.ts';

const GIGA = 1e9;

function report(name: string, seconds: number, multiplyAdds: number, bytes: number): void {
  const rates = [multiplyAdds / seconds / GIGA, bytes / seconds / GIGA].map((rate) => rate.toFixed(1).padStart(8));
  console.log(`${name.padEnd(44)} ${(seconds * 1e6).toFixed(1).padStart(10)} µs ${rates[0]} GMAC/s ${rates[1]} GB/s`);
}

const module = await loadKernels();
for (const { name, multiplyAdds, bytes, run } of kernelCases(module)) {
  report(name, secondsPerCall(run), multiplyAdds, bytes);
}
benchModel(module);
