/** Parameters that chat and completions share: their ranges, their defaults, and what the engine gets. */
import * as z from 'zod';
import type { SamplingParams } from '../../../shards/engine/protocol.ts';
import type { GatewayLimits } from '../../limits.ts';
import { badRequest } from './errors.ts';
import type { ServedModel } from './plan.ts';
import { boundedList, wellFormedText } from './schema.ts';

/** OpenAI's ranges. The largest seed leaves room for one more per choice. */
const SEED_MAX = 2 ** 52;
const LOGIT_BIAS_ABS_MAX = 100;
const PENALTY_ABS_MAX = 2;
const TEMPERATURE_MAX = 2;
const REPETITION_PENALTY_MAX = 2;
export const PROMPT_CACHE_KEY_LENGTH_MAX = 64;
const USER_LENGTH_MAX = 512;
/** Smaller nuclei hold the most likely token alone as well; the engine has no nucleus of probability 0. */
const TOP_P_MIN = 1e-6;
const TOKEN_ID_PATTERN = /^(0|[1-9]\d{0,8})$/;

/** Fields of a zod object. Nulls are gone already: see `refuseUnsupported`. */
export function sharedShape(limits: GatewayLimits) {
  return {
    model: wellFormedText.min(1),
    stream: z.boolean().default(false),
    stream_options: z.strictObject({ include_usage: z.boolean().default(false) }).optional(),
    n: z.int().min(1).max(limits.choicesMax).default(1),
    stop: stopSchema(limits).default([]),
    seed: z.int().min(-SEED_MAX).max(SEED_MAX).optional(),
    // How tokens are chosen where these are not given is the model's business: see `DefaultSampling`.
    temperature: z.number().min(0).max(TEMPERATURE_MAX).optional(),
    top_p: z.number().min(0).max(1).optional(),
    presence_penalty: z.number().min(-PENALTY_ABS_MAX).max(PENALTY_ABS_MAX).default(0),
    frequency_penalty: z.number().min(-PENALTY_ABS_MAX).max(PENALTY_ABS_MAX).default(0),
    logit_bias: logitBiasSchema(limits).default([]),
    /** Accepted and not used: there is nothing per end user. */
    user: wellFormedText.max(USER_LENGTH_MAX).optional(),
    /** Requests with the same key prefer the same replica or origin, for its prefix cache. */
    prompt_cache_key: wellFormedText.max(PROMPT_CACHE_KEY_LENGTH_MAX).optional(),
    // Beyond OpenAI, with the names and meanings of vLLM. -1 is its "all" for top_k.
    top_k: z.int().min(-1).optional(),
    min_p: z.number().min(0).max(1).optional(),
    repetition_penalty: z.number().positive().max(REPETITION_PENALTY_MAX).optional(),
  };
}

function stopSchema(limits: GatewayLimits) {
  const one = wellFormedText.min(1).max(limits.stopLengthMax);
  const many = boundedList(one, 0, limits.stopsMax);
  return z.any().transform((value: unknown, context): string[] => {
    const parsed = many.safeParse(typeof value === 'string' ? [value] : value);
    if (parsed.success) {
      return parsed.data;
    }
    for (const issue of parsed.error.issues) {
      const path = typeof value === 'string' ? [] : issue.path;
      context.addIssue({ code: 'custom', message: issue.message, path: [...path] });
    }
    return z.NEVER;
  });
}

type LogitBias = SamplingParams['logitBias'][number];

function logitBiasSchema(limits: GatewayLimits) {
  return z.any().transform((value: unknown, context): LogitBias[] => {
    const refuse = (message: string, path: string[] = []): LogitBias[] => {
      context.addIssue({ code: 'custom', message, path });
      return z.NEVER;
    };
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return refuse('expected an object of token ids and biases');
    }
    const entries = Object.entries(value);
    if (entries.length > limits.logitBiasMax) {
      return refuse(`expected at most ${limits.logitBiasMax} entries, got ${entries.length}`);
    }
    const biases: LogitBias[] = [];
    for (const [key, bias] of entries) {
      if (!TOKEN_ID_PATTERN.test(key)) {
        return refuse('the key is not a token id', [key]);
      }
      if (typeof bias !== 'number' || !(Math.abs(bias) <= LOGIT_BIAS_ABS_MAX)) {
        return refuse(`expected a number from -${LOGIT_BIAS_ABS_MAX} to ${LOGIT_BIAS_ABS_MAX}`, [key]);
      }
      biases.push([Number(key), bias]);
    }
    return biases;
  });
}

export type SharedFields = z.infer<z.ZodObject<ReturnType<typeof sharedShape>>>;

/**
 * Sampling of the first choice; the others get the following seeds.
 * @param randomSeed of a request that gives none.
 * @throws ApiError when `logit_bias` names a token that the model does not have.
 */
export function toSampling(fields: SharedFields, model: ServedModel, randomSeed: () => number): SamplingParams {
  const { vocabSize } = model.text.config;
  const { defaultSampling } = model.entry.backend;
  for (const [tokenId] of fields.logit_bias) {
    if (tokenId >= vocabSize) {
      const param = `logit_bias.${tokenId}`;
      throw badRequest(
        `Invalid value for '${param}': the model's token ids end at ${vocabSize - 1}.`,
        param,
        'invalid_value',
      );
    }
  }
  return {
    temperature: fields.temperature ?? defaultSampling.temperature ?? 1,
    topK: Math.max(0, fields.top_k ?? defaultSampling.topK ?? 0),
    topP: Math.max(fields.top_p ?? defaultSampling.topP ?? 1, TOP_P_MIN),
    minP: fields.min_p ?? defaultSampling.minP ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? defaultSampling.repetitionPenalty ?? 1,
    presencePenalty: fields.presence_penalty,
    frequencyPenalty: fields.frequency_penalty,
    logitBias: fields.logit_bias,
    seed: fields.seed ?? randomSeed(),
  };
}

/** @throws ApiError when `stream_options` come without `stream`, which OpenAI refuses too. */
export function refuseStrayStreamOptions(fields: SharedFields): void {
  if (fields.stream_options !== undefined && !fields.stream) {
    throw badRequest("'stream_options' is only allowed when 'stream' is true.", 'stream_options', 'invalid_value');
  }
}
