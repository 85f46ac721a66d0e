import type { ModelSource } from '../model-source.ts';
import type { SourceObserver } from '../open-source-model.ts';
export async function openSafetensorsSource(_source: string, _observer: SourceObserver): Promise<ModelSource> {
  throw new Error('');
}
