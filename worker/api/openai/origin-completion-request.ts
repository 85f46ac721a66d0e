/** Body of `POST /v1/completions` for a model that origins serve. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import { promptSchema } from './completion-request.ts';
import { forwardedFields, type ParsedOriginRequest } from './origin-request.ts';
import { refuseStrayStreamOptions, sharedShape } from './parameters.ts';
import { parseOrRefuse, wellFormedText } from './schema.ts';
import { ORIGIN_UNSUPPORTED_COMPLETION_PARAMETERS, refuseUnsupported } from './unsupported.ts';

/**
 * @param body parsed JSON.
 * @throws ApiError naming the first field that is wrong.
 */
export function parseOriginCompletion(body: unknown, limits: GatewayLimits): ParsedOriginRequest {
  const schema = z.strictObject({
    ...sharedShape(limits),
    prompt: promptSchema(limits),
    suffix: wellFormedText.optional(),
    max_tokens: z.int().min(0).default(limits.completionTokensDefault),
    echo: z.boolean().default(false),
    logprobs: z.int().min(0).max(limits.completionLogprobsMax).optional(),
  });
  const supported = refuseUnsupported(body, ORIGIN_UNSUPPORTED_COMPLETION_PARAMETERS);
  const fields = parseOrRefuse(schema, supported);
  refuseStrayStreamOptions(fields);
  const numPromptTokens = fields.prompt.prompts.map((prompt) => (typeof prompt === 'string' ? 1 : prompt.length));
  return {
    body: { ...forwardedFields(supported), max_tokens: fields.max_tokens },
    needs: [
      { capability: 'completion', param: null },
      ...(fields.suffix === undefined ? [] : [{ capability: 'infill', param: 'suffix' } as const]),
    ],
    isStream: fields.stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    numChoices: fields.n * fields.prompt.prompts.length,
    numTokensAtLeast: Math.max(...numPromptTokens) + fields.max_tokens,
    affinityKey: fields.prompt_cache_key ?? null,
  };
}
