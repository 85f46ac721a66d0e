/** The same kernels under the same suite in the runtime that they are deployed to. */
import kernels from '../../../wasm/build/kernels.wasm';
import { kernelSuite } from '../../../wasm/test/kernel-suite.ts';

kernelSuite(kernels);
