/** Body of `POST /v1/chat/completions`. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import type { ChatMessage } from '../../tokenizer/chat-template.ts';
import { badRequest } from './errors.ts';
import { refuseStrayStreamOptions, sharedShape, type SharedFields } from './parameters.ts';
import { boundedList, oncePerLimits, parseOrRefuse, wellFormedText } from './schema.ts';
import { refuseUnsupported, UNSUPPORTED_CHAT_PARAMETERS } from './unsupported.ts';

export interface ChatRequest {
  readonly fields: SharedFields;
  readonly messages: readonly ChatMessage[];
  /** Null when the request leaves it open. */
  readonly maxTokens: number | null;
  /** Field that `maxTokens` came from, for errors. */
  readonly maxTokensParam: 'max_tokens' | 'max_completion_tokens';
  /** Alternatives per token, or null for no log-probabilities. */
  readonly numTopLogprobs: number | null;
}

/** Roles of OpenAI's that models here were not trained on. */
const REFUSED_ROLES = ['tool', 'function'];

const textPart = z.strictObject({
  type: z.literal('text', { error: "only parts of the type 'text' are supported" }),
  text: wellFormedText,
});

const messageSchema = (limits: GatewayLimits) =>
  z.strictObject({
    role: z.enum(['system', 'developer', 'user', 'assistant'], {
      error: ({ input }) =>
        REFUSED_ROLES.includes(String(input))
          ? `messages of the role '${String(input)}' are not supported: the model was not trained on them`
          : "expected 'system', 'developer', 'user' or 'assistant'",
    }),
    content: z.union([wellFormedText, boundedList(textPart, 1, limits.messagesMax)], {
      error: 'expected a text or a list of text parts',
    }),
    // An answer of this API, sent back as part of the conversation, has this field.
    refusal: z.null({ error: 'only null is supported' }).optional(),
  });

export const messagesSchema = (limits: GatewayLimits) => boundedList(messageSchema(limits), 1, limits.messagesMax);

export function toChatMessage({ role, content }: z.infer<ReturnType<typeof messageSchema>>): ChatMessage {
  return {
    // `developer` is OpenAI's later name of `system`; chat templates know the old one.
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : content.map((part) => part.text).join(''),
  };
}

const bodySchema = oncePerLimits((limits: GatewayLimits) =>
  z.strictObject({
    ...sharedShape(limits),
    messages: messagesSchema(limits),
    max_tokens: z.int().min(1).optional(),
    max_completion_tokens: z.int().min(1).optional(),
    logprobs: z.boolean().default(false),
    top_logprobs: z.int().min(0).max(limits.chatTopLogprobsMax).optional(),
  }),
);

/**
 * @param body parsed JSON.
 * @throws ApiError naming the first field that is wrong.
 */
export function parseChatRequest(body: unknown, limits: GatewayLimits): ChatRequest {
  const parsed = parseOrRefuse(bodySchema(limits), refuseUnsupported(body, UNSUPPORTED_CHAT_PARAMETERS));
  refuseStrayStreamOptions(parsed);
  if (parsed.max_tokens !== undefined && parsed.max_completion_tokens !== undefined) {
    throw badRequest("Give either 'max_tokens' or 'max_completion_tokens', not both.", 'max_tokens', 'invalid_value');
  }
  if (parsed.top_logprobs !== undefined && !parsed.logprobs) {
    throw badRequest("'top_logprobs' is only allowed when 'logprobs' is true.", 'top_logprobs', 'invalid_value');
  }
  return {
    fields: parsed,
    messages: parsed.messages.map(toChatMessage),
    maxTokens: parsed.max_completion_tokens ?? parsed.max_tokens ?? null,
    maxTokensParam: parsed.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens',
    numTopLogprobs: parsed.logprobs ? (parsed.top_logprobs ?? 0) : null,
  };
}
