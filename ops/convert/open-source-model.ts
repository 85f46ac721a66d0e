import { stat } from 'node:fs/promises';
import { ConvertError } from './convert-error.ts';
import { openGgufSource } from './gguf/gguf-source.ts';
import type { ModelSource } from './model-source.ts';
import { openSafetensorsSource } from './safetensors/safetensors-source.ts';

export interface SourceObserver {
  /** Called once, before hashing, with the bytes of all model files. */
  readonly onSize: (bytes: number) => void;
  readonly onHashed: (bytes: number) => void;
}

/**
 * Opens a model of any supported format. A folder or a file that ends in `.safetensors` is safetensors; every other file
 * is taken for GGUF, whatever its name.
 * @throws ConvertError
 */
export async function openSourceModel(source: string, observer: SourceObserver): Promise<ModelSource> {
  const stats = await stat(source).catch((cause: unknown) => {
    throw new ConvertError('source-unreadable', `there is no model at ${source}`, { cause });
  });
  if (stats.isDirectory() || source.endsWith('.safetensors')) {
    return openSafetensorsSource(source, observer);
  }
  if (!stats.isFile()) {
    throw new ConvertError('source-unreadable', `${source} is neither a file nor a folder`);
  }
  return openGgufSource(source, observer);
}
