/** Before any test in Node: the kernels as the sources have them now. Tests load the built module. */
import { buildKernels } from '../../wasm/build.ts';

export async function setup(): Promise<void> {
  await buildKernels();
}
