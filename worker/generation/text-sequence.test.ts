/** How tokens become deltas: which text and which tokens come out when, around characters and stop strings. */
import { describe, expect, it } from 'vitest';
import type { EngineClient } from '../../shards/client/engine-client.ts';
import type { TextTokenizer } from '../tokenizer/text-tokenizer.ts';
import { generateText, type TextEvent } from './text-sequence.ts';
import { GREEDY } from '../../shards/sampling/greedy.ts';

/** A vocabulary that is the list of tokens itself: token i is `tokens[i]`, as text or as bytes. */
function vocabularyOf(tokens: readonly (string | readonly number[])[]): TextTokenizer {
  return {
    longestTokenBytes: 1,
    specialTokens: new Map(),
    encode: () => [],
    tokenBytes: (tokenId) => {
      const token = tokens[tokenId] ?? '';
      return typeof token === 'string' ? new TextEncoder().encode(token) : Uint8Array.from(token);
    },
    isSpecial: () => false,
  };
}

interface Run {
  readonly events: TextEvent[];
  /** Tokens that were asked of the engine. */
  readonly numTaken: number;
}

/** Generates all of `tokens` in order, unless a stop string ends it. */
async function run(tokens: readonly (string | readonly number[])[], stop: readonly string[]): Promise<Run> {
  let numTaken = 0;
  const engine: EngineClient = {
    async *generate() {
      for (const tokenId of tokens.keys()) {
        numTaken++;
        yield { type: 'token', tokenId, logprob: null };
      }
      yield { type: 'finish', reason: 'length', promptTokens: 0, completionTokens: 0, cachedTokens: 9 };
    },
  };
  const request = {
    requestId: 'r',
    promptTokens: [1, 2],
    emittedTokens: [],
    maxTokens: 99,
    sampling: GREEDY,
    stopTokenIds: [],
    numTopLogprobs: null,
    numPromptLogprobs: null,
    cacheSalt: 's',
  };
  const events: TextEvent[] = [];
  const signal = new AbortController().signal;
  for await (const event of generateText(
    engine,
    vocabularyOf(tokens),
    { request, promptCacheKey: null, stop },
    signal,
    () => {},
  )) {
    events.push(event);
  }
  return { events, numTaken };
}

/** Deltas as `text:ids`, then the finish. */
const shortForm = (events: readonly TextEvent[]): string[] =>
  events.map((event) => {
    if (event.type === 'delta') {
      return `${event.text}:${event.tokens.map((token) => token.tokenId).join()}`;
    }
    return event.type === 'finish' ? `${event.reason}/${event.usage.completionTokens}` : event.type;
  });

describe('generateText', () => {
  it('gives each token with its text', async () => {
    const { events } = await run(['a', 'bc'], []);
    expect(shortForm(events)).toEqual(['a:0', 'bc:1', 'length/2']);
    expect(events.at(-1)).toMatchObject({ usage: { promptTokens: 2, cachedTokens: 2 } });
  });

  it('keeps a character together and writes what is left of one at the end', async () => {
    const { events } = await run([[0xe4, 0xbd], [0xa0], 'x', [0xe4]], []);
    expect(shortForm(events)).toEqual([':0', '你:1', 'x:2', ':3', '\ufffd:', 'length/4']);
  });

  it('holds back tokens that may begin a stop string, and gives them when they did not', async () => {
    const { events } = await run(['a', 's', 't', 'x'], ['sto']);
    expect(shortForm(events)).toEqual(['a:0', 'stx:1,2,3', 'length/4']);
  });

  it('gives what is held back at the end', async () => {
    expect(shortForm((await run(['a', 's'], ['sto'])).events)).toEqual(['a:0', 's:1', 'length/2']);
  });

  it('ends before a stop string, counts its tokens, and asks for no more', async () => {
    const { events, numTaken } = await run(['as', 'to', 'p!', 'never'], ['stop']);
    // "as" began before the stop string; "to" and "p!" lie in it.
    expect(shortForm(events)).toEqual(['a:', ':0', 'stop/3']);
    expect(numTaken).toBe(3);
  });

  it('tells where each token starts in characters, not in UTF-16 units', async () => {
    const { events } = await run(['👍', 'a', 'b'], []);
    const offsets = events.flatMap((event) => (event.type === 'delta' ? event.tokens : []));
    expect(offsets.map((token) => token.textOffset)).toEqual([0, 1, 2]);
  });
});
