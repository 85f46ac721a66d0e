import { loadKernels } from '../build.ts';
import { kernelSuite } from './kernel-suite.ts';

kernelSuite(await loadKernels());
