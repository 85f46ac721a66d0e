/** Every kernel against its scalar twin and the oracle, for any runtime that has vitest: pass it the compiled module. */
import { attentionSuite } from './attention-suite.ts';
import { forwardSuite } from './forward-suite.ts';
import { gemmSuite } from './gemm-suite.ts';
import { linearSuite } from './linear-suite.ts';
import { vectorSuite } from './vector-suite.ts';

export function kernelSuite(module: WebAssembly.Module): void {
  gemmSuite(module);
  vectorSuite(module);
  attentionSuite(module);
  forwardSuite(module);
  linearSuite(module);
}
