/**
 * How likely a model finds each label as the continuation of a text. All labels of a text share its beginning, which is
 * prefilled once and then found in the prefix cache: a further label costs little more than its own few tokens.
 */
import type { EngineClient } from '../../../shards/client/engine-client.ts';
import { mergeConcurrently } from '../../generation/merge.ts';
import type { TextTokenizer } from '../../tokenizer/text-tokenizer.ts';
import { GREEDY } from '../../../shards/sampling/greedy.ts';

export interface LikelihoodDeps {
  readonly engine: EngineClient;
  readonly tokenizer: TextTokenizer;
  /** Names a request of this gateway. */
  readonly randomId: () => string;
  /** Sequences that run at a time. */
  readonly concurrentSequencesMax: number;
}

export interface LikelihoodRequest {
  /** What comes before the label. */
  readonly prompts: readonly string[];
  /** Continuations, each with the white space that it begins with. */
  readonly continuations: readonly string[];
  readonly cacheSalt: string;
  /** Requests with the same one meet at the same replica, and so does what they have in common. */
  readonly promptCacheKey: string;
}

export interface Likelihoods {
  /** Natural logarithms `[numPrompts, numContinuations]`, each over all tokens of the continuation. */
  readonly logprobs: Float64Array;
  /** Tokens that went through the model or came from its cache: every prompt once, every continuation once a prompt. */
  readonly numTokens: number;
  readonly cachedTokens: number;
}

/** @throws GenerationError when the ring refuses or keeps failing; AbortedError when `signal` was aborted. */
export async function labelLikelihoods(
  deps: LikelihoodDeps,
  { prompts, continuations, cacheSalt, promptCacheKey }: LikelihoodRequest,
  signal: AbortSignal,
): Promise<Likelihoods> {
  const { engine, tokenizer } = deps;
  const promptTokens = prompts.map((prompt) => tokenizer.encode(prompt));
  const continuationTokens = continuations.map((continuation) => tokenizer.encode(continuation));
  const logprobs = new Float64Array(prompts.length * continuations.length);
  const requestId = deps.randomId();
  let cachedTokens = 0;
  const sources = Array.from({ length: logprobs.length }, (_, pair) => {
    const before = promptTokens[Math.floor(pair / continuations.length)] as number[];
    const continuation = continuationTokens[pair % continuations.length] as number[];
    return () =>
      engine.generate(
        {
          requestId: `${requestId}.${pair}`,
          promptTokens: [...before, ...continuation],
          emittedTokens: [],
          maxTokens: 0,
          sampling: GREEDY,
          stopTokenIds: [],
          numTopLogprobs: null,
          numPromptLogprobs: 0,
          promptLogprobsStart: before.length,
          cacheSalt,
        },
        signal,
        { promptCacheKey },
      );
  });
  for await (const { index, value } of mergeConcurrently(sources, deps.concurrentSequencesMax)) {
    if (value.type === 'prompt') {
      logprobs[index] = value.logprobs.reduce((sum, { logprob }) => sum + logprob, 0);
    } else if (value.type === 'finish') {
      cachedTokens += value.cachedTokens;
    }
  }
  const count = (lists: readonly number[][]): number => lists.reduce((sum, { length }) => sum + length, 0);
  return { logprobs, numTokens: count(promptTokens) + prompts.length * count(continuationTokens), cachedTokens };
}
