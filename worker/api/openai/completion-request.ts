/** Body of `POST /v1/completions`, OpenAI's older interface: text or token ids in, text out. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import { refuseStrayStreamOptions, sharedShape, type SharedFields } from './parameters.ts';
import { oncePerLimits, parseOrRefuse } from './schema.ts';
import { refuseUnsupported, UNSUPPORTED_COMPLETION_PARAMETERS } from './unsupported.ts';

/** A prompt as the client wrote it. */
export type PromptInput = string | readonly number[];

export interface CompletionRequest {
  readonly fields: SharedFields;
  readonly prompts: readonly PromptInput[];
  /** Where each prompt stands, for errors: `prompt` or `prompt[3]`. */
  readonly promptParams: readonly string[];
  readonly maxTokens: number;
  /** Whether the answer begins with the prompt. */
  readonly echo: boolean;
  /** Alternatives per token, or null for no log-probabilities. */
  readonly numTopLogprobs: number | null;
}

const bodySchema = oncePerLimits((limits: GatewayLimits) =>
  z.strictObject({
    ...sharedShape(limits),
    prompt: promptSchema(limits),
    max_tokens: z.int().min(0).default(limits.completionTokensDefault),
    echo: z.boolean().default(false),
    logprobs: z.int().min(0).max(limits.completionLogprobsMax).optional(),
  }),
);

/**
 * @param body parsed JSON.
 * @throws ApiError naming the first field that is wrong.
 */
export function parseCompletionRequest(body: unknown, limits: GatewayLimits): CompletionRequest {
  const parsed = parseOrRefuse(bodySchema(limits), refuseUnsupported(body, UNSUPPORTED_COMPLETION_PARAMETERS));
  refuseStrayStreamOptions(parsed);
  const { prompts, isList } = parsed.prompt;
  return {
    fields: parsed,
    prompts,
    promptParams: prompts.map((_, index) => (isList ? `prompt[${index}]` : 'prompt')),
    maxTokens: parsed.max_tokens,
    echo: parsed.echo,
    numTopLogprobs: parsed.logprobs ?? null,
  };
}

interface ParsedPrompt {
  readonly prompts: readonly PromptInput[];
  readonly isList: boolean;
}

/** A text, a list of texts, a list of token ids, or a list of such lists. Stops at the first mistake. */
export function promptSchema(limits: GatewayLimits) {
  return z.any().transform((value: unknown, context): ParsedPrompt => {
    const refuse = (message: string, path: number[] = []): ParsedPrompt => {
      context.addIssue({ code: 'custom', message, path });
      return z.NEVER;
    };
    if (value === undefined) {
      return refuse('it is required');
    }
    const isList = Array.isArray(value) && typeof value[0] !== 'number';
    const entries: unknown[] = isList ? (value as unknown[]) : [value];
    if (entries.length === 0 || entries.length > limits.promptsMax) {
      return refuse(`expected 1 to ${limits.promptsMax} prompts, got ${entries.length}`);
    }
    const prompts: PromptInput[] = [];
    for (const [index, entry] of entries.entries()) {
      const path = isList ? [index] : [];
      if (typeof entry === 'string' ? !entry.isWellFormed() : false) {
        return refuse('the text holds a lone surrogate (half of a UTF-16 pair), which is no character', path);
      }
      if (typeof entry !== 'string' && !Array.isArray(entry)) {
        return refuse('expected a text, a list of texts, a list of token ids or a list of such lists', path);
      }
      const wrongIndex = typeof entry === 'string' ? -1 : entry.findIndex((id) => !isTokenId(id));
      if (wrongIndex >= 0) {
        return refuse('expected a token id', [...path, wrongIndex]);
      }
      prompts.push(entry as PromptInput);
    }
    return { prompts, isList };
  });
}

const isTokenId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
