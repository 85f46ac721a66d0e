import { describe, expect, it } from 'vitest';
import { promptOf, requestOf } from '../../test/tiny-ring.ts';
import { REQUEST_LIMITS } from '../limits.ts';
import type { GenerateRequest, SamplingParams } from '../protocol.ts';
import { validateRequest } from '../validate-request.ts';
import { GREEDY } from '../../sampling/greedy.ts';

const BOUNDS = { vocabSize: 300, sequenceTokensMax: 50 };

function codeOf(overrides: Partial<GenerateRequest>): string {
  const result = validateRequest(requestOf(overrides), BOUNDS);
  return result.ok ? 'valid' : result.error.code;
}

function codeOfSampling(overrides: Partial<SamplingParams>): string {
  return codeOf({ sampling: { ...GREEDY, ...overrides } });
}

const biases = (count: number): SamplingParams['logitBias'] => Array.from({ length: count }, (_, i) => [i % 300, 1]);

describe('validateRequest', () => {
  it('takes each limit and refuses one more', () => {
    expect(codeOf({ promptTokens: promptOf(50) })).toBe('valid');
    expect(codeOf({ promptTokens: promptOf(51) })).toBe('prompt_too_long');
    expect(codeOf({ promptTokens: promptOf(30), emittedTokens: promptOf(21) })).toBe('valid');
    expect(codeOf({ promptTokens: promptOf(30), emittedTokens: promptOf(22) })).toBe('invalid_request');
    expect(codeOf({ stopTokenIds: Array.from({ length: REQUEST_LIMITS.stopTokenIdsMax }, () => 1) })).toBe('valid');
    expect(codeOf({ stopTokenIds: Array.from({ length: REQUEST_LIMITS.stopTokenIdsMax + 1 }, () => 1) })).toBe(
      'invalid_request',
    );
    for (const name of ['numTopLogprobs', 'numPromptLogprobs'] as const) {
      expect(codeOf({ [name]: REQUEST_LIMITS.topLogprobsMax })).toBe('valid');
      expect(codeOf({ [name]: REQUEST_LIMITS.topLogprobsMax + 1 })).toBe('invalid_request');
    }
    expect(codeOf({ promptTokens: promptOf(20), promptLogprobsStart: 19 })).toBe('valid');
    expect(codeOf({ promptTokens: promptOf(20), promptLogprobsStart: 20 })).toBe('invalid_request');
    expect(codeOfSampling({ logitBias: biases(REQUEST_LIMITS.logitBiasMax) })).toBe('valid');
    expect(codeOfSampling({ logitBias: biases(REQUEST_LIMITS.logitBiasMax + 1) })).toBe('invalid_request');
  });

  it('names both numbers of a prompt that is too long', () => {
    const result = validateRequest(requestOf({ promptTokens: promptOf(51) }), BOUNDS);
    expect(result.ok ? '' : result.error.message).toMatch(/51 tokens.* 50 /);
  });

  it.each([
    { promptTokens: [] },
    { promptTokens: [300] },
    { promptTokens: [-1] },
    { promptTokens: [1.5] },
    { emittedTokens: [300] },
    { stopTokenIds: [Number.NaN] },
    { maxTokens: -1 },
    { maxTokens: 1.5 },
    { maxTokens: Number.POSITIVE_INFINITY },
    { numTopLogprobs: -1 },
    { numPromptLogprobs: 0.5 },
    { promptLogprobsStart: 0 },
    { promptLogprobsStart: 1.5 },
  ] satisfies Partial<GenerateRequest>[])('refuses %j', (overrides) => {
    expect(codeOf(overrides)).toBe('invalid_request');
  });

  it.each([
    { temperature: -1 },
    { temperature: Number.NaN },
    { temperature: Number.POSITIVE_INFINITY },
    { topK: -1 },
    { topK: 1.5 },
    { topP: 0 },
    { topP: 1.01 },
    { topP: Number.NaN },
    { minP: -0.1 },
    { minP: 1.1 },
    { repetitionPenalty: 0 },
    { repetitionPenalty: Number.NaN },
    { presencePenalty: Number.POSITIVE_INFINITY },
    { frequencyPenalty: Number.NaN },
    { seed: 0.5 },
    { seed: 2 ** 53 },
    { logitBias: [[300, 1]] },
    { logitBias: [[0, Number.NaN]] },
  ] satisfies Partial<SamplingParams>[])('refuses sampling %j', (overrides) => {
    expect(codeOfSampling(overrides)).toBe('invalid_request');
  });
});
