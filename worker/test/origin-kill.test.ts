/** An origin's process is killed under fifty streams of the gateway's clients: figures of `docs/reliability-origins.md`. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createGateway } from '../gateway.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import { expectDocSection } from '../origin/test/support/doc-section.ts';
import { type Engines, poolOver, startEngines } from '../origin/test/support/real-origins.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { askPro, type ClientsAnswer } from './support/pro-client.ts';
import { gatewayDeps, TEST_CATALOG, tinyModelFolder } from './support/real-gateway.ts';
import { ScriptedHead } from '../../ops/testing/scripted-head.ts';

const STREAMS = 50;
/** Enough for the streams that are cut to be well under way, and for the others not to take long. */
const TOKENS = 150;
const NEW_REQUESTS = 10;
const NEW_TOKENS = 8;
/** No origin has more than a quarter above its half for the sake of prefixes; one may be on its way there. */
const CUT_MAX = Math.ceil((STREAMS / 2) * 1.25) + 1;
const AFTER_RETURN = 3;

let engines: Engines;
let folder: Awaited<ReturnType<typeof tinyModelFolder>>;

beforeAll(async () => {
  [engines, folder] = await Promise.all([startEngines(), tinyModelFolder()]);
});
afterAll(async () => {
  await engines?.stop();
  await folder?.remove();
});

it('cuts its streams with an error, serves the others and new requests, and takes it back when it returns', async () => {
  const [a, b] = engines.engines;
  const pool = poolOver([a.url, b.url], { concurrency: STREAMS });
  const records: ServedRecord[] = [];
  const app = createGateway({
    ...gatewayDeps(folder.folder, new ScriptedHead(), records, []),
    catalog: parseCatalog(TEST_CATALOG),
    origins: pool,
  });
  let numAsked = 0;
  const answers = new Map<string, ClientsAnswer>();
  const ask = async (maxTokens: number, onEvent: () => void = () => {}): Promise<ClientsAnswer> => {
    const requestId = `r${numAsked++}`;
    // Each is a conversation of its own, so that both origins get some.
    const answer = await askPro(app, { requestId, isStream: true, maxTokens, cacheKey: requestId, onEvent });
    answers.set(requestId, answer);
    return answer;
  };
  let numEvents = 0;
  let startKilling = (): void => {};
  const wellUnderWay = new Promise<void>((resolve) => {
    startKilling = resolve;
  });
  const onEvent = (): void => {
    if (++numEvents === STREAMS) {
      startKilling();
    }
  };
  const running = Array.from({ length: STREAMS }, () => ask(TOKENS, onEvent));
  await wellUnderWay;
  process.kill(a.pid, 'SIGKILL');
  await a.ended;
  const during = await Promise.all(Array.from({ length: NEW_REQUESTS }, () => ask(NEW_TOKENS)));
  expect(during.map(({ error }) => error)).toEqual(during.map(() => null));

  const results = await Promise.all(running);
  const numCut = results.filter(({ error }) => error !== null).length;
  expect(numCut).toBeGreaterThanOrEqual(1);
  expect(numCut).toBeLessThanOrEqual(CUT_MAX);
  expect(pool.health()).toMatchObject([
    { id: 'a', breaker: 'open', inFlight: 0, waiting: 0 },
    { id: 'b', breaker: 'closed', inFlight: 0, waiting: 0 },
  ]);
  expectRecords(records, answers);

  const again = await engines.start(Number(new URL(a.url).port));
  try {
    let servedByA = 0;
    while (servedByA < AFTER_RETURN) {
      const { error } = await ask(NEW_TOKENS);
      expect(error).toBeNull();
      servedByA += records.at(-1)?.servedBy === 'origins/a' ? 1 : 0;
    }
    expect(pool.health()[0]).toMatchObject({ id: 'a', breaker: 'closed' });
    expect(records).toHaveLength(answers.size);
  } finally {
    await again.stop();
  }
});

/** One record for each answer, and each says what the client got. */
function expectRecords(records: readonly ServedRecord[], answers: ReadonlyMap<string, ClientsAnswer>): void {
  expect(answers.size).toBe(STREAMS + NEW_REQUESTS);
  expect(records.map(({ requestId }) => requestId).sort()).toEqual([...answers.keys()].sort());
  for (const { requestId, ...record } of records) {
    const { error, text, finishReason, completionTokens } = answers.get(requestId) as ClientsAnswer;
    if (error === null) {
      // It ran at the other, or had not begun.
      expect(record).toMatchObject({ outcome: 'completed', servedBy: 'origins/b', errorCode: null });
      expect([finishReason, completionTokens]).toEqual(['length', record.completionTokens]);
      expect([TOKENS, NEW_TOKENS]).toContain(completionTokens);
    } else {
      expect(error).toBe('origin_cut');
      expect(record).toMatchObject({ outcome: 'failed', servedBy: 'origins/a', errorCode: 'origin_cut' });
      expect([finishReason, completionTokens]).toEqual([null, null]);
      expect(text).not.toBe('');
      expect(record.completionTokens).toBeGreaterThan(0);
      expect(record.completionTokens).toBeLessThan(TOKENS);
    }
  }
}

it('is in docs/reliability-origins.md', async () => {
  await expectDocSection('An origin killed under fifty streams', FIGURES);
});

const FIGURES = `\`worker/test/origin-kill.test.ts\` kills the process of one of two origins with SIGKILL while clients of the gateway read
${STREAMS} streams, and starts it again.

| what was counted | figure |
| --- | --- |
| streams cut: those that it had begun; error event \`origin_cut\`, no \`[DONE]\` | 1 to ${CUT_MAX} of ${STREAMS} |
| other streams, answered whole by the other origin | all: ${STREAMS - CUT_MAX} to ${STREAMS - 1} of ${STREAMS} |
| new requests while it is dead, answered by the other origin | ${NEW_REQUESTS} of ${NEW_REQUESTS} |
| records settled, exactly one for each request, with the outcome and the error that the client saw | ${STREAMS + NEW_REQUESTS} of ${STREAMS + NEW_REQUESTS} |
| slots that stay taken, requests that stay waiting | 0 |
| requests that it serves after its return, when the breaker's trial has found it | ${AFTER_RETURN} or more: the test waits for ${AFTER_RETURN} |
`;
