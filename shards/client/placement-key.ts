/** What steers a request to the replica that has its prefix. */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import type { GenerateRequest } from '../engine/protocol.ts';

/** Requests with equal keys prefer the same replica; equal prompts of two tenants have different ones. */
export function placementKey(
  { promptTokens, cacheSalt }: Pick<GenerateRequest, 'promptTokens' | 'cacheSalt'>,
  promptCacheKey: string | null,
): string {
  // The parts are kept apart by a character that no list of numbers holds, so no key looks like a prompt.
  return promptCacheKey === null
    ? `${cacheSalt}\u0000tokens\u0000${promptTokens.slice(0, PAGE_SIZE_TOKENS).join()}`
    : `${cacheSalt}\u0000key\u0000${promptCacheKey}`;
}
