/** Static assets of the gateway: the text files of its models and the playground. */
import type { ReadModelFile } from '../tokenizer/text-model.ts';

/** Assets are addressed by URL; the host is not looked at. */
const ASSETS_ORIGIN = 'https://assets.invalid';

export function createModelFileReader(assets: Fetcher): ReadModelFile {
  return async (path) => {
    const response = await assets.fetch(`${ASSETS_ORIGIN}${path}`);
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`The asset ${path} is missing (status ${response.status}): deploy the gateway with its assets`);
    }
    return response.text();
  };
}
