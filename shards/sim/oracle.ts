/** What each request must answer: that of a fresh ring of one stage which does nothing else. */
import type { GenerateEvent } from '../engine/protocol.ts';
import type { AssetSource } from '../platform/assets.ts';
import { createLocalEngine } from '../platform/local/local-engine.ts';
import { pooledRequest, type PooledRequest, type RequestId } from './requests.ts';

export interface ExpectedAnswer {
  readonly request: PooledRequest;
  /** What a client gets, in order. */
  readonly events: readonly GenerateEvent[];
  readonly tokens: readonly number[];
}

export interface OracleOptions {
  readonly assets: AssetSource;
  readonly kernels: WebAssembly.Module;
}

/** Computes each answer once, for all seeds. */
export class Oracle {
  readonly #options: OracleOptions;
  readonly #answers = new Map<string, Promise<ExpectedAnswer>>();

  constructor(options: OracleOptions) {
    this.#options = options;
  }

  /** Of a request of the pool. */
  pooled(id: RequestId): Promise<ExpectedAnswer> {
    return this.answer(`pool ${id.conversation} ${id.turn} ${id.choice}`, async () => {
      const answers: (readonly number[])[] = [];
      for (let turn = 0; turn < id.turn; turn++) {
        answers.push((await this.pooled({ ...id, turn, choice: 0 })).tokens);
      }
      return pooledRequest(id, answers);
    });
  }

  /** @param key names the request: equal keys have equal requests */
  answer(key: string, makeRequest: () => PooledRequest | Promise<PooledRequest>): Promise<ExpectedAnswer> {
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      answer = this.#compute(makeRequest);
      this.#answers.set(key, answer);
    }
    return answer;
  }

  async #compute(makeRequest: () => PooledRequest | Promise<PooledRequest>): Promise<ExpectedAnswer> {
    const request = await makeRequest();
    const local = await createLocalEngine({ ...this.#options, limits: { draftStepTokensMax: 1 } });
    const stream = await local.engine.generate({ ...request, requestId: 'oracle', cacheSalt: '', emittedTokens: [] });
    const events = parseEvents(await new Response(stream).text()).filter(
      ({ type }) => type !== 'accepted' && type !== 'alive',
    );
    local.ring.close('the oracle has spoken');
    return { request, events, tokens: events.flatMap((event) => (event.type === 'token' ? [event.tokenId] : [])) };
  }
}

function parseEvents(text: string): GenerateEvent[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as GenerateEvent);
}
