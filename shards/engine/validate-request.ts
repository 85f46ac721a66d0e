import { err, ok, type Result } from '../result.ts';
import { REQUEST_LIMITS } from './limits.ts';
import type { EngineErrorCode, GenerateRequest, SamplingParams } from './protocol.ts';

export interface RequestError {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly retryable: boolean;
}

export interface RequestBounds {
  readonly vocabSize: number;
  /** Longest sequence that this ring computes, in tokens. */
  readonly sequenceTokensMax: number;
}

function invalid(message: string): { readonly ok: false; readonly error: RequestError } {
  return err({ code: 'invalid_request', message, retryable: false });
}

/** Checks every field of a request whose types TypeScript vouched for on the other side of an RPC boundary only. */
export function validateRequest(request: GenerateRequest, bounds: RequestBounds): Result<null, RequestError> {
  const { promptTokens, emittedTokens, maxTokens, stopTokenIds } = request;
  if (promptTokens.length === 0) {
    return invalid('promptTokens is empty: send at least one token');
  }
  if (promptTokens.length > bounds.sequenceTokensMax) {
    const message = `the prompt has ${promptTokens.length} tokens, at most ${bounds.sequenceTokensMax} are served`;
    return err({ code: 'prompt_too_long', message, retryable: false });
  }
  // One more than is computed: the last token of an output is chosen, but never fed back.
  if (promptTokens.length + emittedTokens.length > bounds.sequenceTokensMax + 1) {
    return invalid(`prompt and emittedTokens together exceed ${bounds.sequenceTokensMax + 1} tokens`);
  }
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0) {
    return invalid(`maxTokens is ${maxTokens}, not a count`);
  }
  if (stopTokenIds.length > REQUEST_LIMITS.stopTokenIdsMax) {
    return invalid(`${stopTokenIds.length} stopTokenIds, at most ${REQUEST_LIMITS.stopTokenIdsMax} are allowed`);
  }
  const tokenLists = { promptTokens, emittedTokens, stopTokenIds };
  for (const [name, tokens] of Object.entries(tokenLists)) {
    const wrong = tokens.find((tokenId) => !isTokenId(tokenId, bounds.vocabSize));
    if (wrong !== undefined) {
      return invalid(`${name} holds ${wrong}, which is not a token of a vocabulary of ${bounds.vocabSize}`);
    }
  }
  for (const name of ['numTopLogprobs', 'numPromptLogprobs'] as const) {
    const count = request[name];
    if (count !== null && !(Number.isInteger(count) && count >= 0 && count <= REQUEST_LIMITS.topLogprobsMax)) {
      return invalid(`${name} is ${count}, not between 0 and ${REQUEST_LIMITS.topLogprobsMax}`);
    }
  }
  const { promptLogprobsStart: start = 1 } = request;
  if (!(Number.isInteger(start) && start >= 1 && start <= Math.max(1, promptTokens.length - 1))) {
    return invalid(`promptLogprobsStart is ${start}: it must be the index of a prompt token after the first`);
  }
  return validateSampling(request.sampling, bounds.vocabSize);
}

function isTokenId(tokenId: number, vocabSize: number): boolean {
  return Number.isInteger(tokenId) && tokenId >= 0 && tokenId < vocabSize;
}

/** Ranges in which the sampler is defined; the wire formats allow less. */
function validateSampling(sampling: SamplingParams, vocabSize: number): Result<null, RequestError> {
  const { temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty, seed } = sampling;
  const rules: readonly (readonly [name: string, value: number, isValid: boolean, rule: string])[] = [
    ['temperature', temperature, Number.isFinite(temperature) && temperature >= 0, 'at least 0'],
    ['topK', topK, Number.isSafeInteger(topK) && topK >= 0, 'a count'],
    ['topP', topP, topP > 0 && topP <= 1, 'above 0 and at most 1'],
    ['minP', minP, minP >= 0 && minP <= 1, 'between 0 and 1'],
    ['repetitionPenalty', repetitionPenalty, Number.isFinite(repetitionPenalty) && repetitionPenalty > 0, 'above 0'],
    ['presencePenalty', presencePenalty, Number.isFinite(presencePenalty), 'finite'],
    ['frequencyPenalty', frequencyPenalty, Number.isFinite(frequencyPenalty), 'finite'],
    ['seed', seed, Number.isSafeInteger(seed), 'a safe integer'],
  ];
  const broken = rules.find(([, , isValid]) => !isValid);
  if (broken !== undefined) {
    return invalid(`sampling.${broken[0]} is ${broken[1]}: it must be ${broken[3]}`);
  }
  if (sampling.logitBias.length > REQUEST_LIMITS.logitBiasMax) {
    return invalid(`${sampling.logitBias.length} logit biases, at most ${REQUEST_LIMITS.logitBiasMax} are allowed`);
  }
  for (const [tokenId, bias] of sampling.logitBias) {
    if (!isTokenId(tokenId, vocabSize) || !Number.isFinite(bias)) {
      return invalid(`sampling.logitBias holds [${tokenId}, ${bias}]: a token of the vocabulary and a finite number`);
    }
  }
  return ok(null);
}
