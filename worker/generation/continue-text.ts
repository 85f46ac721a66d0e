/**
 * Goes on with a sequence of which an earlier life has handed out the beginning. The tokens of that beginning go through
 * the same steps again, so that half a character or half a stop string at its end is known; then the engine goes on.
 */
import type { EngineClient } from '../../shards/client/engine-client.ts';
import type { GenerationError } from '../../shards/client/recovery.ts';
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts';
import { generateText, type SequenceSpec, type TextEvent, type TextToken } from './text-sequence.ts';

/**
 * @param past events of this sequence that were handed out before, none of them `finish`.
 * @returns the events that follow, the same as if nothing had happened in between.
 * @throws what `EngineClient.generate` throws.
 */
export async function* continueText(
  engine: EngineClient,
  tokenizer: TextTokenizer,
  spec: SequenceSpec,
  past: readonly TextEvent[],
  signal: AbortSignal,
  onResume: (failure: GenerationError) => void,
): AsyncGenerator<TextEvent, void, undefined> {
  const deltas = past.filter((event) => event.type === 'delta');
  const tokens = deltas.flatMap((delta) => delta.tokens);
  const isPromptOut = past.some(({ type }) => type === 'prompt');
  const request = isPromptOut ? { ...spec.request, numPromptLogprobs: null } : spec.request;
  const events = generateText(withKnownTokens(engine, tokens), tokenizer, { ...spec, request }, signal, onResume);
  // Deltas depend on the tokens alone, so the first ones are those that are out. One can be out whose token is not known,
  // because not all of its text was: it is generated again.
  let numKnown = deltas.length;
  for await (const event of events) {
    if (event.type === 'delta' && numKnown > 0) {
      numKnown--;
    } else {
      yield event;
    }
  }
}

/** An engine whose answer begins with tokens that are known. */
function withKnownTokens(engine: EngineClient, tokens: readonly TextToken[]): EngineClient {
  return {
    async *generate(request, signal, options) {
      for (const { tokenId, logprob } of tokens) {
        yield { type: 'token', tokenId, logprob };
      }
      const emittedTokens = tokens.map(({ tokenId }) => tokenId);
      yield* engine.generate({ ...request, emittedTokens }, signal, options);
    },
  };
}
