/** `POST /v1/chat/completions`: messages to sequences. */
import type { ChatPromptResult } from '../../tokenizer/chat-template.ts';
import { badRequest, type ApiError } from './errors.ts';
import { parseChatRequest, type ChatRequest } from './chat-request.ts';
import { createChatWriter } from './chat-wire.ts';
import { toSampling } from './parameters.ts';
import { choicesOf, contextLengthOf, fitToContext, promptTooLong } from './plan.ts';
import type { RingPlan, PlanContext, ServedModel } from './plan.ts';

/** @throws ApiError for anything that is wrong with the body. */
export async function planChat(body: unknown, context: PlanContext): Promise<RingPlan> {
  const request = parseChatRequest(body, context.limits);
  const { fields } = request;
  const model = await context.model();
  const promptTokens = encodeMessages(request, model);
  const maxTokens = fitToContext({
    model,
    numPromptTokens: promptTokens.length,
    maxTokens: request.maxTokens,
    defaultTokens: context.limits.chatTokensDefault,
    promptParam: 'messages',
    maxTokensParam: request.maxTokensParam,
  });
  const sampling = toSampling(fields, model, context.randomSeed);
  const options = {
    promptTokens,
    maxTokens,
    sampling,
    stop: fields.stop,
    numTopLogprobs: request.numTopLogprobs,
    numPromptLogprobs: null,
    promptCacheKey: fields.prompt_cache_key ?? null,
  };
  return {
    model,
    isStream: fields.stream,
    sequences: choicesOf(context, model, options, fields.n, 0),
    numPromptTokens: promptTokens.length,
    writer: createChatWriter({
      head: { id: `chatcmpl-${context.requestId}`, created: context.created, model: model.entry.id },
      tokenizer: model.text.tokenizer,
      numChoices: fields.n,
      numPromptTokens: promptTokens.length,
      withLogprobs: request.numTopLogprobs !== null,
      includeUsage: fields.stream_options?.include_usage ?? false,
    }),
  };
}

function encodeMessages(request: ChatRequest, model: ServedModel): readonly number[] {
  const encoded = model.text.encodeChat(request.messages, contextLengthOf(model));
  if (!encoded.ok) {
    throw encodingError(encoded, model);
  }
  return encoded.tokens;
}

export function encodingError(failure: Extract<ChatPromptResult, { ok: false }>, model: ServedModel): ApiError {
  if (failure.reason === 'no_template') {
    const message = `The model '${model.entry.id}' has no chat template. Use /v1/completions.`;
    return badRequest(message, 'model', 'unsupported_model');
  }
  if (failure.reason === 'too_long') {
    return promptTooLong(model, `at least ${failure.numTokensAtLeast} tokens`, 'messages');
  }
  const message = `The model's chat template refused the messages: ${failure.message}`;
  return badRequest(message, 'messages', 'invalid_value');
}
