/** From a parsed request to sequences for the engine. What both interfaces share. */
import type { SamplingParams } from '../../../shards/engine/protocol.ts';
import type { SequenceSpec, TextEvent } from '../../generation/text-sequence.ts';
import type { Merged } from '../../generation/merge.ts';
import type { GatewayLimits } from '../../limits.ts';
import type { RingEntry } from '../../routing/catalog.ts';
import type { TextModel } from '../../tokenizer/text-model.ts';
import { badRequest, type ApiError } from './errors.ts';

/** The model that a request asked for, ready to be used. */
export interface ServedModel {
  readonly entry: RingEntry;
  readonly text: TextModel;
}

/** What a route knows besides the body. */
export interface PlanContext {
  readonly requestId: string;
  readonly tenant: string;
  readonly limits: GatewayLimits;
  /** Seconds since the epoch, for `created`. */
  readonly created: number;
  /** The model that serves the request: not always the one that it names. */
  readonly model: () => Promise<ServedModel>;
  readonly randomSeed: () => number;
}

export type AnswerEvents = AsyncGenerator<Merged<TextEvent>, void, undefined>;

/** Writes an answer in the format of one interface. `index` of an event is the index of its sequence. */
export interface AnswerWriter {
  /** Whole server-sent events. */
  streamParts(events: AnswerEvents): AsyncGenerator<string, void, undefined>;
  /** The whole JSON answer. */
  jsonAnswer(events: AnswerEvents): Promise<string>;
}

/** A request as the ring takes it: token ids, and a writer for the text that comes back. */
export interface RingPlan {
  readonly model: ServedModel;
  readonly isStream: boolean;
  readonly sequences: readonly SequenceSpec[];
  readonly numPromptTokens: number;
  readonly writer: AnswerWriter;
}

/** Longest sequence that the model is served with. */
export function contextLengthOf(model: ServedModel): number {
  return Math.min(model.text.config.contextLengthMax, model.entry.contextLengthMax ?? Infinity);
}

export interface TokenBudget {
  readonly model: ServedModel;
  readonly numPromptTokens: number;
  /** Null: as many as fit, up to `defaultTokens`. */
  readonly maxTokens: number | null;
  readonly defaultTokens: number;
  readonly promptParam: string;
  readonly maxTokensParam: string;
}

/**
 * @returns tokens to generate at most.
 * @throws ApiError with both numbers when they do not fit the context.
 */
export function fitToContext(budget: TokenBudget): number {
  const contextLength = contextLengthOf(budget.model);
  const { numPromptTokens, maxTokens } = budget;
  if (numPromptTokens > contextLength || (maxTokens !== 0 && numPromptTokens === contextLength)) {
    throw promptTooLong(budget.model, `${numPromptTokens} tokens`, budget.promptParam);
  }
  const remaining = contextLength - numPromptTokens;
  if (maxTokens === null) {
    return Math.min(remaining, budget.defaultTokens);
  }
  if (maxTokens > remaining) {
    throw badRequest(
      `This model's context is ${contextLength} tokens. The prompt has ${numPromptTokens}, so at most ${remaining} can be ` +
        `generated, but ${maxTokens} were requested. Lower '${budget.maxTokensParam}' or shorten the prompt.`,
      budget.maxTokensParam,
      'context_length_exceeded',
    );
  }
  return maxTokens;
}

export function promptTooLong(model: ServedModel, promptLength: string, param: string): ApiError {
  return badRequest(
    `This model's context is ${contextLengthOf(model)} tokens, but the prompt has ${promptLength}. Shorten it.`,
    param,
    'context_length_exceeded',
  );
}

export interface SequenceOptions {
  readonly promptTokens: readonly number[];
  readonly maxTokens: number;
  readonly sampling: SamplingParams;
  readonly stop: readonly string[];
  readonly numTopLogprobs: number | null;
  readonly numPromptLogprobs: number | null;
  readonly promptCacheKey: string | null;
}

/** One sequence per choice of one prompt; each is sampled with a seed of its own. */
export function choicesOf(
  context: PlanContext,
  model: ServedModel,
  options: SequenceOptions,
  numChoices: number,
  firstIndex: number,
): SequenceSpec[] {
  return Array.from({ length: numChoices }, (_, choice) => ({
    stop: options.stop,
    promptCacheKey: options.promptCacheKey,
    request: {
      requestId: `${context.requestId}.${firstIndex + choice}`,
      promptTokens: options.promptTokens,
      emittedTokens: [],
      maxTokens: options.maxTokens,
      sampling: { ...options.sampling, seed: options.sampling.seed + choice },
      stopTokenIds: model.text.config.stopTokenIds,
      numTopLogprobs: options.numTopLogprobs,
      numPromptLogprobs: options.numPromptLogprobs,
      cacheSalt: context.tenant,
    },
  }));
}
