import { assert } from '../../wasm/host/assert.ts';
import { tokenLogprob } from '../sampling/logprobs.ts';
import type { Sampler } from '../sampling/sampler.ts';
import type { TokenLogprob } from './protocol.ts';
import type { Sequence } from './sequence.ts';

/** What one row of logits meant for its sequence. */
export type LogitsOutcome =
  | { readonly kind: 'prompt_logprob' }
  | { readonly kind: 'token'; readonly tokenId: number; readonly logprob: TokenLogprob | null }
  | { readonly kind: 'stop' };

/**
 * Uses the logits of the token at `position`: they are about the token after it, which the prompt knows or the sampler
 * chooses. The sequence gets the chosen token, or the log-probability.
 * @param logits `[vocabSize]`
 */
export function takeLogits(
  sequence: Sequence,
  position: number,
  logits: Float32Array,
  sampler: Sampler,
): LogitsOutcome {
  const { request } = sequence;
  if (position < sequence.numPromptTokens - 1) {
    const numTop = request.numPromptLogprobs;
    assert(numTop !== null && sequence.promptLogprobs.length === position, 'log-probabilities come in order');
    sequence.promptLogprobs.push(tokenLogprob(logits, sequence.tokens[position + 1] as number, numTop));
    return { kind: 'prompt_logprob' };
  }
  assert(position === sequence.tokens.length - 1, 'only the last token has a successor to choose');
  const tokenId = sampler.sample(logits, sequence.history, request.sampling, position + 1);
  if (request.stopTokenIds.includes(tokenId)) {
    return { kind: 'stop' };
  }
  const logprob = request.numTopLogprobs === null ? null : tokenLogprob(logits, tokenId, request.numTopLogprobs);
  sequence.appendToken(tokenId);
  return { kind: 'token', tokenId, logprob };
}
