/** Body of `POST /v1/chat/completions` for a model that origins serve. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import type { Need } from '../../routing/capabilities.ts';
import { badRequest } from './errors.ts';
import { affinityKeyOf, functionName, needsOfMessages, originMessages, toOriginMessages } from './origin-messages.ts';
import { forwardedFields, isDeeperThan, type ParsedOriginRequest } from './origin-request.ts';
import { refuseStrayStreamOptions, sharedShape } from './parameters.ts';
import { boundedList, parseOrRefuse, wellFormedText } from './schema.ts';
import { ORIGIN_UNSUPPORTED_CHAT_PARAMETERS, refuseUnsupported } from './unsupported.ts';

const DESCRIPTION_LENGTH_MAX = 16_384;

const jsonSchemaObject = (limits: GatewayLimits) =>
  z
    .record(z.string(), z.unknown(), { error: 'expected a JSON schema, an object' })
    .refine((schema) => !isDeeperThan(schema, limits.schemaDepthMax), {
      error: `the schema is nested more than ${limits.schemaDepthMax} levels deep`,
    });

const toolSchema = (limits: GatewayLimits) =>
  z.strictObject({
    type: z.literal('function', { error: "only tools of the type 'function' are supported" }),
    function: z.strictObject({
      name: functionName,
      description: wellFormedText.max(DESCRIPTION_LENGTH_MAX).optional(),
      parameters: jsonSchemaObject(limits).optional(),
      strict: z.boolean().nullish(),
    }),
  });

const toolChoiceSchema = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: functionName }) }),
  ],
  { error: "expected 'none', 'auto', 'required' or a function" },
);

const responseFormatSchema = (limits: GatewayLimits) =>
  z.discriminatedUnion(
    'type',
    [
      z.strictObject({ type: z.literal('text') }),
      z.strictObject({ type: z.literal('json_object') }),
      z.strictObject({
        type: z.literal('json_schema'),
        json_schema: z.strictObject({
          name: functionName,
          description: wellFormedText.max(DESCRIPTION_LENGTH_MAX).optional(),
          schema: jsonSchemaObject(limits),
          strict: z.boolean().nullish(),
        }),
      }),
    ],
    { error: "expected the type 'text', 'json_object' or 'json_schema'" },
  );

const chatSchema = (limits: GatewayLimits) =>
  z.strictObject({
    ...sharedShape(limits),
    messages: originMessages(limits),
    max_tokens: z.int().min(1).optional(),
    max_completion_tokens: z.int().min(1).optional(),
    logprobs: z.boolean().default(false),
    top_logprobs: z.int().min(0).max(limits.chatTopLogprobsMax).optional(),
    tools: boundedList(toolSchema(limits), 1, limits.toolsMax).optional(),
    tool_choice: toolChoiceSchema.optional(),
    parallel_tool_calls: z.boolean().optional(),
    response_format: responseFormatSchema(limits).optional(),
    reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
    // Beyond OpenAI, as vLLM, SGLang and llama.cpp have it. Other variables of a template are none of a client's business.
    chat_template_kwargs: z.strictObject({ enable_thinking: z.boolean() }).optional(),
  });

type ChatFields = z.infer<ReturnType<typeof chatSchema>>;

/**
 * @param body parsed JSON.
 * @throws ApiError naming the first field that is wrong.
 */
export function parseOriginChat(body: unknown, limits: GatewayLimits): ParsedOriginRequest {
  const supported = refuseUnsupported(body, ORIGIN_UNSUPPORTED_CHAT_PARAMETERS);
  const fields = parseOrRefuse(chatSchema(limits), supported);
  refuseStrayStreamOptions(fields);
  refuseContradictions(fields);
  const { needs, numImages } = needsOfMessages(fields.messages);
  if (numImages > limits.imagesMax) {
    throw badRequest(
      `Invalid value for 'messages': they hold ${numImages} images, and at most ${limits.imagesMax} are allowed.`,
      'messages',
      'invalid_value',
    );
  }
  const maxTokens = fields.max_completion_tokens ?? fields.max_tokens;
  return {
    body: {
      ...forwardedFields(supported),
      messages: toOriginMessages(fields.messages),
      max_tokens: maxTokens ?? limits.originTokensDefault,
    },
    needs: [{ capability: 'chat', param: null }, ...needsOfFields(fields), ...needs],
    isStream: fields.stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    numChoices: fields.n,
    // A prompt has at least one token.
    numTokensAtLeast: 1 + (maxTokens ?? 0),
    affinityKey: fields.prompt_cache_key ?? affinityKeyOf(fields.messages),
  };
}

function refuseContradictions(fields: ChatFields): void {
  const refuse = (message: string, param: string): never => {
    throw badRequest(message, param, 'invalid_value');
  };
  if (fields.max_tokens !== undefined && fields.max_completion_tokens !== undefined) {
    refuse("Give either 'max_tokens' or 'max_completion_tokens', not both.", 'max_tokens');
  }
  if (fields.top_logprobs !== undefined && !fields.logprobs) {
    refuse("'top_logprobs' is only allowed when 'logprobs' is true.", 'top_logprobs');
  }
  for (const param of ['tool_choice', 'parallel_tool_calls'] as const) {
    if (fields.tools === undefined && fields[param] !== undefined && fields[param] !== 'none') {
      refuse(`'${param}' is only allowed when 'tools' are given.`, param);
    }
  }
  const choice = fields.tool_choice;
  if (typeof choice === 'object' && !fields.tools?.some((tool) => tool.function.name === choice.function.name)) {
    refuse(`'tool_choice' names the function '${choice.function.name}', which is not among 'tools'.`, 'tool_choice');
  }
}

function needsOfFields(fields: ChatFields): Need[] {
  const format = fields.response_format?.type ?? 'text';
  const thinks =
    (fields.reasoning_effort !== undefined && fields.reasoning_effort !== 'none') ||
    fields.chat_template_kwargs?.enable_thinking === true;
  return [
    ...(fields.tools === undefined ? [] : [{ capability: 'tools', param: 'tools' } as const]),
    ...(format === 'text' ? [] : [{ capability: format, param: 'response_format' } as const]),
    ...(thinks
      ? [
          {
            capability: 'reasoning',
            param: fields.reasoning_effort === undefined ? 'chat_template_kwargs' : 'reasoning_effort',
          } as const,
        ]
      : []),
  ];
}
