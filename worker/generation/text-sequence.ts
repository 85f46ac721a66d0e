/** One sequence as text: runs a generation and turns its tokens into text, up to a stop string. */
import type { GenerateRequest, TokenLogprob } from '../../shards/engine/protocol.ts';
import type { EngineClient } from '../../shards/client/engine-client.ts';
import type { GenerationError } from '../../shards/client/recovery.ts';
import { IncrementalDetokenizer } from '../tokenizer/detokenizer.ts';
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts';
import { StopMatcher } from './stop-matcher.ts';

export interface SequenceSpec {
  readonly request: GenerateRequest;
  /** What the client says about which requests begin alike; null when it says nothing. */
  readonly promptCacheKey: string | null;
  /** Generation ends before the first of these in the text; they are not part of the answer. */
  readonly stop: readonly string[];
}

/** A generated token and where its text starts in the answer, in characters (code points). */
export interface TextToken {
  readonly tokenId: number;
  readonly logprob: TokenLogprob | null;
  readonly textOffset: number;
}

export interface SequenceUsage {
  readonly promptTokens: number;
  /** Tokens that the engine chose, those of a stop string included: they cost the same. */
  readonly completionTokens: number;
  /** Prompt tokens whose KV pages were there already; 0 when the engine was stopped before it could tell. */
  readonly cachedTokens: number;
}

export type TextEvent =
  | { readonly type: 'prompt'; readonly logprobs: readonly TokenLogprob[] }
  /** `tokens` are those whose text is now out in full; a token may come later than the first part of its text. */
  | { readonly type: 'delta'; readonly text: string; readonly tokens: readonly TextToken[] }
  | { readonly type: 'finish'; readonly reason: 'stop' | 'length'; readonly usage: SequenceUsage };

/**
 * Yields at most one `prompt`, then deltas, then exactly one `finish`. When a stop string is found the generation is
 * cancelled.
 * @throws what `EngineClient.generate` throws.
 */
export async function* generateText(
  engine: EngineClient,
  tokenizer: TextTokenizer,
  spec: SequenceSpec,
  signal: AbortSignal,
  onResume: (failure: GenerationError) => void,
): AsyncGenerator<TextEvent, void, undefined> {
  const assembler = new TextAssembler(tokenizer, spec.stop);
  const usage = (cachedTokens: number): SequenceUsage => ({
    promptTokens: spec.request.promptTokens.length,
    completionTokens: assembler.numTokens,
    cachedTokens,
  });
  const { request, promptCacheKey } = spec;
  for await (const event of engine.generate(request, signal, { promptCacheKey, onResume })) {
    if (event.type === 'prompt') {
      yield event;
      continue;
    }
    const step = event.type === 'token' ? assembler.push(event.tokenId, event.logprob) : assembler.end();
    if (step.text !== '' || step.tokens.length > 0) {
      yield { type: 'delta', text: step.text, tokens: step.tokens };
    }
    if (step.isStopped) {
      // Leaving the loop cancels the engine's stream.
      yield { type: 'finish', reason: 'stop', usage: usage(0) };
      return;
    }
    if (event.type === 'finish') {
      // A resumed run counts tokens that this request generated itself as cached prompt.
      const cachedTokens = Math.min(event.cachedTokens, spec.request.promptTokens.length);
      yield { type: 'finish', reason: event.reason, usage: usage(cachedTokens) };
    }
  }
}

interface AssembledStep {
  readonly text: string;
  readonly tokens: readonly TextToken[];
  readonly isStopped: boolean;
}

/** A token whose text is not out yet. Positions are in UTF-16 units of the text before stop strings are cut off. */
interface PendingToken extends TextToken {
  readonly start: number;
  readonly end: number;
}

/** Puts tokens together to text and keeps each token back until the text it made is handed out. */
class TextAssembler {
  readonly #detokenizer: IncrementalDetokenizer;
  readonly #matcher: StopMatcher;
  #pending: PendingToken[] = [];
  /** UTF-16 units and code points that were decoded, and UTF-16 units that were handed out. */
  #decodedLength = 0;
  #decodedCodePoints = 0;
  #releasedLength = 0;
  numTokens = 0;

  constructor(tokenizer: TextTokenizer, stop: readonly string[]) {
    this.#detokenizer = new IncrementalDetokenizer(tokenizer, { keepSpecialTokens: false });
    this.#matcher = new StopMatcher(stop);
  }

  push(tokenId: number, logprob: TokenLogprob | null): AssembledStep {
    this.numTokens++;
    const start = this.#decodedLength;
    const textOffset = this.#decodedCodePoints;
    const piece = this.#decoded(this.#detokenizer.push(tokenId));
    this.#pending.push({ tokenId, logprob, textOffset, start, end: this.#decodedLength });
    return this.#match(piece);
  }

  end(): AssembledStep {
    const step = this.#match(this.#decoded(this.#detokenizer.flush()));
    if (step.isStopped) {
      return step;
    }
    const rest = this.#matcher.flush();
    this.#releasedLength += rest.length;
    return { text: step.text + rest, tokens: [...step.tokens, ...this.#takePending(() => true)], isStopped: false };
  }

  #decoded(piece: string): string {
    this.#decodedLength += piece.length;
    this.#decodedCodePoints += numCodePoints(piece);
    return piece;
  }

  #match(piece: string): AssembledStep {
    const { text, isMatched } = this.#matcher.push(piece);
    this.#releasedLength += text.length;
    // Of the tokens around a stop string those count that began before it, even when they end inside it.
    const isOut = isMatched
      ? (token: PendingToken): boolean => token.start < this.#releasedLength
      : (token: PendingToken): boolean => token.end <= this.#releasedLength;
    return { text, tokens: this.#takePending(isOut), isStopped: isMatched };
  }

  #takePending(isOut: (token: PendingToken) => boolean): TextToken[] {
    const numKept = this.#pending.findIndex((token) => !isOut(token));
    const taken = numKept < 0 ? this.#pending.splice(0) : this.#pending.splice(0, numKept);
    return taken.map(({ tokenId, logprob, textOffset }) => ({ tokenId, logprob, textOffset }));
  }
}

/** Characters as other languages count them; UTF-16 pairs are one. */
export function numCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) {
    count++;
  }
  return count;
}
