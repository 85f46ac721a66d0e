/**
 * A run whose object is lost before any one of its writes: whoever asks again with the same key, or reads on from any event,
 * gets what an undisturbed run would have given, and nothing twice.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post } from './support/http.ts';
import { startRealGateway, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';
import { runEvents, runGateway, type RunEvent, type RunGateway } from './support/run-gateway.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const AUTH = { authorization: 'Bearer sk-local' };
const CHAT = {
  model: TEST_MODEL,
  messages: [{ role: 'user', content: 'Hello' }],
  max_tokens: 12,
  seed: 3,
  stream: true,
};
/** Small batches, for many writes. */
const LIMITS = { batchChunksMax: 2 };
/** Far more than a run of so few tokens makes. */
const WRITES_MAX = 100;
/** A client that is told that it may ask again does so: the object is lost once. */
const ATTEMPTS_MAX = 3;

/** One that changes something: what reads only may be repeated by anybody. */
const isWrite = (statement: string): boolean => !/^(SELECT|CREATE)/.test(statement);

/** Asks as an impatient client does: again until it is answered. */
async function ask(send: () => Response | Promise<Response>): Promise<readonly RunEvent[]> {
  for (let attempt = 1; ; attempt++) {
    const response = await send();
    const body = await response.text();
    if (response.status === 200) {
      return runEvents(body);
    }
    expect(response.status, body).toBeGreaterThanOrEqual(500);
    expect(attempt, body).toBeLessThan(ATTEMPTS_MAX);
  }
}

/** Always the same request under the same key. */
const chat = (gateway: RunGateway) => () => post(gateway.app, '/v1/chat/completions', CHAT, { 'idempotency-key': 'k' });

/** What a client asks for that has lost its connection behind an event. */
const rest = (gateway: RunGateway, id: string, after: number) => () =>
  gateway.app.request(`/v1/responses/${id}?stream=true`, { headers: { ...AUTH, 'last-event-id': `${after}` } });

/** Events without the name of their run. */
const nameless = (events: readonly RunEvent[]): RunEvent[] =>
  events.map(({ number, data }) => ({ number, data: data.replace(/"id":"[^"]+"/, '"id":""') }));

const idOf = (events: readonly RunEvent[]): string => /"id":"([^"]+)"/.exec(events[0]?.data ?? '')?.[1] ?? '';

describe('a run', () => {
  it('is the same whichever of its writes its object is lost before, for all who ask for it', async () => {
    const whole = nameless(await ask(chat(runGateway(real, {}, LIMITS))));
    expect(whole.length).toBeGreaterThan(12);
    let crashAt = 0;
    for (let hasCrashed = true; hasCrashed; crashAt++) {
      expect(crashAt).toBeLessThan(WRITES_MAX);
      const gateway = runGateway(real, {}, LIMITS);
      let numWrites = 0;
      gateway.runs.onStatement = (statement) => {
        if (isWrite(statement) && numWrites++ === crashAt) {
          gateway.runs.crash();
        }
      };
      const [first, second] = await Promise.all([ask(chat(gateway)), ask(chat(gateway))]);
      expect(nameless(first), `lost before write ${crashAt}`).toEqual(whole);
      expect(second).toEqual(first);
      const after = crashAt % whole.length;
      const later = nameless(await ask(rest(gateway, idOf(first), after)));
      expect(later).toEqual(whole.filter(({ number }) => number > after));
      hasCrashed = numWrites > crashAt;
      const rows = [...gateway.runs.shards.values()].flatMap(({ database }) =>
        database.prepare('SELECT * FROM run').all(),
      );
      expect(rows).toMatchObject([{ status: 'completed' }]);
      // Requests that an object ended under are noted as failed; what was computed is paid for once.
      const paid = gateway.records.filter(({ completionTokens }) => completionTokens > 0);
      expect(paid).toMatchObject([{ outcome: 'completed', completionTokens: CHAT.max_tokens }]);
    }
    // It was lost before each of them, and once not at all.
    expect(crashAt).toBeGreaterThan(8);
  });
});
