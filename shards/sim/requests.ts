/**
 * The requests that simulations are made of: a fixed pool, the same for every seed, so that what each of them must answer
 * is computed once. They share prefixes as real ones do: system prompts, conversations whose next turn repeats the ones
 * before, several choices for one prompt.
 */
import type { GenerateRequest, SamplingParams } from '../engine/protocol.ts';
import { Random } from './random.ts';
import { GREEDY } from '../sampling/greedy.ts';

export const NUM_CONVERSATIONS = 48;
export const TURNS_MAX = 3;
export const CHOICES_MAX = 3;

/** Two are equal to the last page, and some end inside of a page: full, partly equal and no matches all occur. */
const SYSTEM_PROMPT_TOKENS = [0, 7, 16, 33, 48, 60] as const;
const USER_TOKENS_MAX = 24;
const OUTPUT_TOKENS_MAX = 20;
/** The longest system prompt, all turns and all answers. */
export const POOLED_TOKENS_MAX = Math.max(...SYSTEM_PROMPT_TOKENS) + TURNS_MAX * (USER_TOKENS_MAX + OUTPUT_TOKENS_MAX);
/** Of the tiny vocabulary; the first three are control tokens. */
const TOKEN_ID_MIN = 3;
const TOKEN_ID_MAX = 250;

export interface RequestId {
  readonly conversation: number;
  /** From 0; each turn's prompt has the answers to all turns before. */
  readonly turn: number;
  /** From 0; the seed of the sampler differs. */
  readonly choice: number;
}

/** A request without what differs from run to run: its name and its tenant. */
export type PooledRequest = Omit<GenerateRequest, 'requestId' | 'cacheSalt' | 'emittedTokens'>;

const SAMPLINGS: readonly SamplingParams[] = [
  GREEDY,
  { ...GREEDY, temperature: 0.8, topP: 0.95 },
  { ...GREEDY, temperature: 1, topK: 20, repetitionPenalty: 1.2, presencePenalty: 0.3 },
  // Says the same again and again, so that drafts are accepted.
  { ...GREEDY, frequencyPenalty: -0.5 },
  { ...GREEDY, temperature: 0.3, frequencyPenalty: -0.4, minP: 0.05 },
];

export function randomTokens(random: Random, numTokens: number): number[] {
  return Array.from({ length: numTokens }, () => random.between(TOKEN_ID_MIN, TOKEN_ID_MAX));
}

function systemPrompt(index: number): number[] {
  return randomTokens(new Random(index), SYSTEM_PROMPT_TOKENS[index] ?? 0);
}

/**
 * A request of the pool; it and its answer fit into `POOLED_TOKENS_MAX`.
 * @param answers tokens of choice 0 of the turns before, in order
 */
export function pooledRequest(
  { conversation, turn, choice }: RequestId,
  answers: readonly (readonly number[])[],
): PooledRequest {
  const random = new Random(0x5eed).fork(`conversation ${conversation}`);
  const promptTokens = systemPrompt(conversation % SYSTEM_PROMPT_TOKENS.length);
  const sampling = random.pick(SAMPLINGS);
  // Some send their first message in pieces of a phrase, which invites drafts.
  const phrase = randomTokens(random, random.between(2, 8));
  for (let i = 0; i <= turn; i++) {
    const numTokens = random.between(1, USER_TOKENS_MAX);
    const isRepetitive = random.chance(0.3);
    const tokens = randomTokens(random, numTokens);
    promptTokens.push(...(isRepetitive ? tokens.map((_, at) => phrase[at % phrase.length] as number) : tokens));
    promptTokens.push(...(answers[i] ?? []));
  }
  return {
    promptTokens,
    maxTokens: random.between(1, OUTPUT_TOKENS_MAX),
    sampling: { ...sampling, seed: 1000 * conversation + choice },
    stopTokenIds: random.chance(0.3) ? randomTokens(random, 4) : [],
    numTopLogprobs: random.pick([null, null, 0, 2]),
    numPromptLogprobs: random.chance(0.1) ? 1 : null,
  };
}
