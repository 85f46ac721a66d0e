/** Messages as origins take them: all roles of OpenAI's API, tool calls, and images inside the request. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import { hashToUnit } from '../../../shards/client/rendezvous.ts';
import type { Need } from '../../routing/capabilities.ts';
import { boundedList, wellFormedText } from './schema.ts';

/** Names of functions and participants, as OpenAI restricts them. */
export const functionName = z.string().regex(/^[\w-]{1,64}$/, {
  error: 'expected 1 to 64 letters, digits, underscores and dashes',
});

/** Ids are made by servers; some use long ones. */
const TOOL_CALL_ID_LENGTH_MAX = 256;
const toolCallId = wellFormedText.min(1).max(TOOL_CALL_ID_LENGTH_MAX);

/** An origin stands in a private network: it is never told to fetch an address that a client chose. */
const IMAGE_DATA_URL = /^data:image\/(?:png|jpeg|webp|gif);base64,[\w+/]+={0,2}$/;

const textPart = z.strictObject({ type: z.literal('text'), text: wellFormedText });
const imagePart = z.strictObject({
  type: z.literal('image_url'),
  image_url: z.strictObject({
    url: z.string().regex(IMAGE_DATA_URL, {
      error: "expected the image itself, as 'data:image/png;base64,…' (or jpeg, webp, gif): addresses are not fetched",
    }),
    detail: z.enum(['auto', 'low', 'high']).optional(),
  }),
});
const contentPart = z.discriminatedUnion('type', [textPart, imagePart], {
  error: "expected a part of the type 'text' or 'image_url'",
});

const toolCall = z.strictObject({
  id: toolCallId,
  type: z.literal('function'),
  function: z.strictObject({ name: functionName, arguments: wellFormedText }),
});

/** What an answer of this API carries without content, and clients send back. */
const emptyFields = {
  refusal: z.null({ error: 'only null is supported' }).optional(),
  audio: z.null({ error: 'only null is supported' }).optional(),
  function_call: z.null({ error: "only null is supported; use 'tool_calls'" }).optional(),
  annotations: z.union([z.null(), z.tuple([])], { error: 'only an empty list is supported' }).optional(),
};

function messageSchema(limits: GatewayLimits) {
  const textContent = z.union([wellFormedText, boundedList(textPart, 1, limits.messagesMax)], {
    error: 'expected a text or a list of text parts',
  });
  const content = z.union([wellFormedText, boundedList(contentPart, 1, limits.messagesMax)], {
    error: 'expected a text or a list of parts',
  });
  const name = functionName.optional();
  return z.discriminatedUnion(
    'role',
    [
      z.strictObject({ role: z.enum(['system', 'developer']), content: textContent, name }),
      z.strictObject({ role: z.literal('user'), content, name }),
      z
        .strictObject({
          role: z.literal('assistant'),
          content: textContent.nullish(),
          reasoning_content: wellFormedText.nullish(),
          tool_calls: boundedList(toolCall, 1, limits.toolsMax).nullish(),
          name,
          ...emptyFields,
        })
        .refine((message) => (message.content ?? message.tool_calls ?? null) !== null, {
          path: ['content'],
          error: "an assistant's message needs a content or tool calls",
        }),
      z.strictObject({ role: z.literal('tool'), content: textContent, tool_call_id: toolCallId }),
    ],
    { error: "expected 'system', 'developer', 'user', 'assistant' or 'tool'" },
  );
}

export type OriginMessage = z.infer<ReturnType<typeof messageSchema>>;

export const originMessages = (limits: GatewayLimits): z.ZodType<OriginMessage[]> =>
  boundedList(messageSchema(limits), 1, limits.messagesMax);

/** As engines take them: without fields that carry nothing, and with the role that chat templates know. */
export function toOriginMessages(messages: readonly OriginMessage[]): object[] {
  return messages.map((message) => {
    const kept = Object.entries(message).filter(
      ([field, value]) => field !== 'annotations' && (value !== null || field === 'content'),
    );
    return { ...Object.fromEntries(kept), role: message.role === 'developer' ? 'system' : message.role };
  });
}

/**
 * The same for the turns of one conversation, which begin alike: its instructions and the first that the user says. Images
 * are left out. A short digest, since each origin's place in the order of a key costs as much as the key is long.
 */
export function affinityKeyOf(messages: readonly OriginMessage[]): string | null {
  const numBefore = messages.findIndex(({ role }) => role === 'user');
  if (numBefore === -1) {
    return null;
  }
  const beginning = messages
    .slice(0, numBefore + 1)
    .filter(({ role }) => role === 'system' || role === 'developer' || role === 'user');
  return hashToUnit(JSON.stringify(beginning.map(({ content }) => textOf(content)))).toString(36);
}

function textOf(content: OriginMessage['content']): string {
  const parts = Array.isArray(content) ? content : [];
  return typeof content === 'string' ? content : parts.map((part) => ('text' in part ? part.text : '')).join('\n');
}

/** What the messages ask of a model, each capability once, by the first field that asks for it. */
export function needsOfMessages(messages: readonly OriginMessage[]): { needs: Need[]; numImages: number } {
  const needs: Need[] = [];
  let numImages = 0;
  for (const [index, message] of messages.entries()) {
    const isToolTurn =
      message.role === 'tool' || (message.role === 'assistant' && (message.tool_calls ?? null) !== null);
    if (isToolTurn && !needs.some(({ capability }) => capability === 'tools')) {
      needs.push({ capability: 'tools', param: `messages[${index}]` });
    }
    for (const [part, { type }] of (Array.isArray(message.content) ? message.content : []).entries()) {
      if (type === 'image_url' && numImages++ === 0) {
        needs.push({ capability: 'image_input', param: `messages[${index}].content[${part}]` });
      }
    }
  }
  return { needs, numImages };
}
