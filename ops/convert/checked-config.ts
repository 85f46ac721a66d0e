import { ManifestError } from '../../shards/model/manifest-fields.ts';
import { parseModelConfig } from '../../shards/model/parse-config.ts';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { ConvertError } from './convert-error.ts';

/**
 * Holds a source's hyperparameters against what a manifest may say, before any tensor is read.
 * @throws ConvertError `unsupported-hyperparameter`
 */
export function checkedConfig(config: ModelConfig): ModelConfig {
  try {
    return parseModelConfig(config, 'config');
  } catch (cause) {
    if (cause instanceof ManifestError) {
      throw new ConvertError('unsupported-hyperparameter', `this model cannot be served: ${cause.message}`, { cause });
    }
    throw cause;
  }
}
