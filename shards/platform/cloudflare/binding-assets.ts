import type { AssetSource } from '../assets.ts';

const NOT_FOUND = 404;

/** Static assets of the stage's own script. The host name is not looked up: the binding goes by the path alone. */
export function bindingAssets(binding: Fetcher): AssetSource {
  return {
    async open(name) {
      const response = await binding.fetch(`https://assets.invalid/${encodeURIComponent(name)}`);
      if (response.ok && response.body !== null) {
        return response.body;
      }
      await response.body?.cancel();
      if (response.status === NOT_FOUND) {
        return null;
      }
      throw new Error(`static asset ${name} answered with status ${response.status}`);
    },
  };
}
