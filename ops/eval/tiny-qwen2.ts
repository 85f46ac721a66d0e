/**
 * The small random-weight qwen2 model of the golden test: attention biases, an untied head, grouped-query attention. Run
 * as a program it writes the GGUF file, for `oracle/make_golden_tiny.py`:
 *
 *     node ops/eval/tiny-qwen2.ts OUT.gguf
 */
import { type TinyModelOptions, writeTinyGguf } from '../testing/tiny-model.ts';
import { OperatorError } from '../support/operator-error.ts';

/** Changing anything here, or in the generator, gives another file: the golden data has to be made again. */
const TINY_QWEN2: TinyModelOptions = { architecture: 'qwen2', tied: false, seed: 20 };

/** Writes the same bytes on every machine. */
export function writeTinyQwen2(file: string): Promise<void> {
  return writeTinyGguf(file, TINY_QWEN2);
}

if (import.meta.main) {
  const file = process.argv[2];
  if (file === undefined) {
    throw new OperatorError('usage', 'Name the file to write.');
  }
  await writeTinyQwen2(file);
}
