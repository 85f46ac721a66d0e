/** `POST /v1/completions`: prompts to sequences. */
import type { SequenceSpec } from '../../generation/text-sequence.ts';
import { numTokensLowerBound, withBos } from '../../tokenizer/chat-template.ts';
import { detokenize } from '../../tokenizer/detokenizer.ts';
import { parseCompletionRequest, type PromptInput } from './completion-request.ts';
import { createCompletionWriter, type PromptEcho } from './completion-wire.ts';
import { badRequest } from './errors.ts';
import { toSampling } from './parameters.ts';
import { choicesOf, contextLengthOf, fitToContext, promptTooLong } from './plan.ts';
import type { RingPlan, PlanContext, ServedModel } from './plan.ts';

/** @throws ApiError for anything that is wrong with the body. */
export async function planCompletion(body: unknown, context: PlanContext): Promise<RingPlan> {
  const request = parseCompletionRequest(body, context.limits);
  const { fields, echo, numTopLogprobs } = request;
  const model = await context.model();
  const sampling = toSampling(fields, model, context.randomSeed);
  const sequences: SequenceSpec[] = [];
  const echoes: (PromptEcho | null)[] = [];
  let numPromptTokens = 0;
  for (const [index, prompt] of request.prompts.entries()) {
    const promptParam = request.promptParams[index] ?? 'prompt';
    const promptTokens = encodePrompt(prompt, model, promptParam);
    const maxTokens = fitToContext({
      model,
      numPromptTokens: promptTokens.length,
      maxTokens: request.maxTokens,
      defaultTokens: request.maxTokens,
      promptParam,
      maxTokensParam: 'max_tokens',
    });
    const numPromptLogprobs = echo ? numTopLogprobs : null;
    const options = {
      promptTokens,
      maxTokens,
      sampling,
      stop: fields.stop,
      numTopLogprobs,
      numPromptLogprobs,
      promptCacheKey: fields.prompt_cache_key ?? null,
    };
    for (const sequence of choicesOf(context, model, options, fields.n, sequences.length)) {
      sequences.push(sequence);
      echoes.push(echo ? { text: promptText(prompt, model), tokens: promptTokens } : null);
    }
    numPromptTokens += promptTokens.length;
  }
  return {
    model,
    isStream: fields.stream,
    sequences,
    numPromptTokens,
    writer: createCompletionWriter({
      head: { id: `cmpl-${context.requestId}`, created: context.created, model: model.entry.id },
      tokenizer: model.text.tokenizer,
      echoes,
      numPromptTokens,
      withLogprobs: numTopLogprobs !== null,
      includeUsage: fields.stream_options?.include_usage ?? false,
    }),
  };
}

const promptText = (prompt: PromptInput, model: ServedModel): string =>
  typeof prompt === 'string' ? prompt : detokenize(model.text.tokenizer, prompt);

/** Token ids are taken as they are; a text gets the begin-of-text token where the model expects one. */
export function encodePrompt(prompt: PromptInput, model: ServedModel, param: string): readonly number[] {
  const { tokenizer, config } = model.text;
  if (typeof prompt !== 'string') {
    const wrongIndex = prompt.findIndex((tokenId) => tokenId >= config.vocabSize);
    if (wrongIndex >= 0) {
      throw badRequest(
        `Invalid value for '${param}[${wrongIndex}]': the model's token ids end at ${config.vocabSize - 1}.`,
        `${param}[${wrongIndex}]`,
        'invalid_value',
      );
    }
    return refuseEmpty(prompt, param);
  }
  const numTokensAtLeast = numTokensLowerBound(prompt, tokenizer);
  if (numTokensAtLeast > contextLengthOf(model)) {
    throw promptTooLong(model, `at least ${numTokensAtLeast} tokens`, param);
  }
  return refuseEmpty(withBos(config, tokenizer, tokenizer.encode(prompt)), param);
}

function refuseEmpty(tokens: readonly number[], param: string): readonly number[] {
  if (tokens.length === 0) {
    throw badRequest(
      `Invalid value for '${param}': it has no tokens, and the model needs at least one to start from.`,
      param,
      'invalid_value',
    );
  }
  return tokens;
}
