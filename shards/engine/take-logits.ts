import { assert } from '../../wasm/host/assert.ts';
import { tokenLogprob } from '../sampling/logprobs.ts';
import type { Sampler } from '../sampling/sampler.ts';
import type { ResultRow } from './micro-batch.ts';
import type { TokenLogprob } from './protocol.ts';
import { isCurrent } from './scheduler.ts';

/** What one row of logits meant for its sequence. */
export type LogitsOutcome =
  | { readonly kind: 'prompt_logprob' }
  | {
      readonly kind: 'token';
      readonly tokenId: number;
      readonly logprob: TokenLogprob | null;
      readonly isAcceptedDraft: boolean;
    }
  | { readonly kind: 'stop' };

/** Whether a row means anything: its sequence went on as it was, and no draft token before it was refused. */
export function isUsable(row: ResultRow): boolean {
  return isCurrent(row) && row.verification?.isUsable(row.position) !== false;
}

/**
 * Uses the logits of the token at `position`: they are about the token after it, which the prompt knows or the sampler
 * chooses. The sequence gets the chosen token, or the log-probability.
 * @param row one that `isUsable`.
 * @param logits `[vocabSize]`
 */
export function takeLogits(
  { sequence, position, verification }: ResultRow,
  logits: Float32Array,
  sampler: Sampler,
): LogitsOutcome {
  const { request } = sequence;
  if (position < sequence.numPromptTokens - 1) {
    const numTop = request.numPromptLogprobs;
    assert(numTop !== null && sequence.promptLogprobPosition === position, 'log-probabilities come in order');
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
  const isAcceptedDraft = verification?.choose(tokenId) === true;
  if (isAcceptedDraft) {
    // The step has put its key and value into the pages.
    sequence.numComputedTokens++;
  }
  return { kind: 'token', tokenId, logprob, isAcceptedDraft };
}
