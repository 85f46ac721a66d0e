/** Body of `POST /v1/prefixes`, and the tokens that it stands for. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import { chatPrefix, textPrefix } from '../../tokenizer/prompt-prefix.ts';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { encodingError } from './chat-plan.ts';
import { messagesSchema, toChatMessage } from './chat-request.ts';
import { encodePrompt } from './completion-plan.ts';
import { promptSchema } from './completion-request.ts';
import { badRequest } from './errors.ts';
import { PROMPT_CACHE_KEY_LENGTH_MAX } from './parameters.ts';
import { contextLengthOf, promptTooLong, type ServedModel } from './plan.ts';
import { parseOrRefuse, wellFormedText } from './schema.ts';
import { refuseUnsupported } from './unsupported.ts';

export function parsePrefixRequest(body: unknown, limits: GatewayLimits) {
  const schema = z.strictObject({
    model: wellFormedText.min(1),
    messages: messagesSchema(limits).optional(),
    prompt: promptSchema({ ...limits, promptsMax: 1 }).optional(),
    ttl: z.int().min(1).max(limits.prefixTtlSecondsMax).default(limits.prefixTtlSecondsDefault),
    prompt_cache_key: wellFormedText.min(1).max(PROMPT_CACHE_KEY_LENGTH_MAX).optional(),
  });
  const parsed = parseOrRefuse(schema, refuseUnsupported(body, {}));
  if ((parsed.messages === undefined) === (parsed.prompt === undefined)) {
    throw badRequest("Give either 'messages' or 'prompt'.", 'messages', 'invalid_value');
  }
  return parsed;
}

export type PrefixRequest = ReturnType<typeof parsePrefixRequest>;

/**
 * The tokens that prompts have in common which begin like this.
 * @throws ApiError when they do not fit the context, or do not fill a page.
 */
export function prefixTokens({ messages, prompt }: PrefixRequest, model: ServedModel): readonly number[] {
  const contextLength = contextLengthOf(model);
  const param = messages === undefined ? 'prompt' : 'messages';
  const tokens =
    messages === undefined ? promptTokens(prompt?.prompts[0] ?? '', model) : messageTokens(messages, model);
  if (tokens.length >= contextLength) {
    throw promptTooLong(model, `${tokens.length} tokens`, param);
  }
  if (tokens.length < PAGE_SIZE_TOKENS) {
    const message = `The prefix has ${tokens.length} tokens; at least ${PAGE_SIZE_TOKENS} are needed to share a page.`;
    throw badRequest(message, param, 'prefix_too_short');
  }
  return tokens;
}

function messageTokens(messages: NonNullable<PrefixRequest['messages']>, model: ServedModel): readonly number[] {
  const encoded = chatPrefix(model.text.encodeChat, messages.map(toChatMessage), contextLengthOf(model));
  if (!encoded.ok) {
    throw encodingError(encoded, model);
  }
  return encoded.tokens;
}

function promptTokens(prompt: string | readonly number[], model: ServedModel): readonly number[] {
  return typeof prompt === 'string'
    ? textPrefix((text) => (text === '' ? [] : encodePrompt(text, model, 'prompt')), prompt)
    : encodePrompt(prompt, model, 'prompt');
}
