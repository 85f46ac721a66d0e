/** Every fault of an origin as a client of the gateway's HTTP API sees it: the second table of `docs/reliability-origins.md`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Fault, type FaultProxy, startFaultProxy } from '../../ops/testing/fault-proxy.ts';
import { systemClock } from '../../shards/platform/system.ts';
import { createGateway } from '../gateway.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import type { OriginBackend } from '../origin/origin-backend.ts';
import { expectDocSection } from '../origin/test/support/doc-section.ts';
import { DEADLINES, FAULTS, KEY_OF_A } from '../origin/test/support/faults.ts';
import { chatRequest, type Engines, poolOver, startEngines, TOKENS } from '../origin/test/support/real-origins.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { ManualClock } from '../../ops/testing/manual-clock.ts';
import { askPro, type ClientsAnswer, ENDLESS } from './support/pro-client.ts';
import { gatewayDeps, TEST_CATALOG, tinyModelFolder } from './support/real-gateway.ts';
import { ScriptedHead } from '../../ops/testing/scripted-head.ts';

/** No row may take longer: three attempts that wait for their first token take less than half of it. */
const ROW_MS_MAX = 40_000;

let engines: Engines;
let folder: Awaited<ReturnType<typeof tinyModelFolder>>;
/** What the model has said after so many tokens. */
const textAfter = new Map<number, string>();
const cells = new Map<string, readonly string[]>();

beforeAll(async () => {
  [engines, folder] = await Promise.all([startEngines(), tinyModelFolder()]);
  const alone = chatRequest({ body: { ...chatRequest().body, ...ENDLESS } });
  let text = '';
  for await (const event of poolOver([engines.engines[0].url]).stream(alone, new AbortController().signal)) {
    if (event.type === 'chunk') {
      text += (event.data.choices[0] as { delta?: { content?: string | null } } | undefined)?.delta?.content ?? '';
      textAfter.set(event.completionTokens, text);
    }
  }
  expect(textAfter.has(TOKENS)).toBe(true);
});
afterAll(async () => {
  await engines?.stop();
  await folder?.remove();
});

interface Outcome {
  readonly answer: ClientsAnswer;
  readonly records: readonly ServedRecord[];
  readonly numRequests: number;
}

/** Faults that take longer than the gateway holds a head back; the clock stands still for the others, so that they do not. */
const isSlowToShow = ({ type }: Fault): boolean => ['hang', 'lying_health', 'silence'].includes(type);

/** The pool with the short deadlines, and with the same computation for each request: nothing of a prompt is reused. */
const hurried = (pool: OriginBackend): OriginBackend => ({
  models: () => pool.models(),
  canServe: (model, needs, numTokens) => pool.canServe(model, needs, numTokens),
  stream: (request, signal) =>
    pool.stream({ ...request, body: { ...request.body, cache_prompt: false }, deadlines: DEADLINES }, signal),
  call: (request, signal) => pool.call(request, signal),
  health: () => pool.health(),
  probe: () => pool.probe(),
});

async function serve(isStream: boolean, faultOfA: Fault, faultOfB: Fault): Promise<Outcome> {
  const proxies: FaultProxy[] = await Promise.all(engines.engines.map(({ url }) => startFaultProxy(url)));
  const [a, b] = proxies as [FaultProxy, FaultProxy];
  a.fault = faultOfA;
  b.fault = faultOfB;
  const pool = poolOver(proxies.map(({ url }) => url));
  const records: ServedRecord[] = [];
  const app = createGateway({
    ...gatewayDeps(folder.folder, new ScriptedHead(), records, []),
    catalog: parseCatalog(TEST_CATALOG),
    clock: isSlowToShow(faultOfA) ? systemClock : new ManualClock(),
    origins: hurried(pool),
  });
  const answer = await askPro(app, { requestId: 'r', isStream, maxTokens: TOKENS, cacheKey: KEY_OF_A });
  expect(pool.health().map(({ inFlight, waiting }) => inFlight + waiting)).toEqual([0, 0]);
  await Promise.all(proxies.map((proxy) => proxy.close()));
  return { answer, records, numRequests: a.numRequests + b.numRequests };
}

/** What must hold whatever happened; and what happened, in words. */
function judge({ answer, records, numRequests }: Outcome): string {
  expect(records).toHaveLength(1);
  const record = records[0] as ServedRecord;
  expect(record).toMatchObject({ attempts: numRequests, numChoices: 1, errorCode: answer.error });
  // Each token that the origin gave is counted, and no other.
  const said = record.completionTokens === 0 ? '' : textAfter.get(record.completionTokens);
  const held = answer.isHeld ? 'after a wait, ' : '';
  if (answer.error === null) {
    expect(answer).toMatchObject({ status: 200, text: said, finishReason: 'length', completionTokens: TOKENS });
    expect(record.servedBy).toMatch(/^origins\/[ab]$/);
    expect([record.servedBy, 'origins']).toContain(answer.servedBy);
    const outcome = { outcome: 'completed', completionTokens: TOKENS, finishReasons: ['length'], isEstimated: false };
    expect(record).toMatchObject(outcome);
    return `${held}the whole answer`;
  }
  expect(answer).toMatchObject({ finishReason: null, completionTokens: null });
  expect(record).toMatchObject({ outcome: 'failed', finishReasons: [] });
  if (record.isStream && answer.status === 200) {
    expect(answer.text).toBe(said);
    const after = answer.text === '' ? held : 'the tokens, ';
    return `200, ${after}error event \`${answer.error}\``;
  }
  expect(answer.text).toBe('');
  expect(answer.status === 200).toBe(answer.isHeld);
  return `${answer.status}, ${held}\`${answer.error}\``;
}

describe('an HTTP client, while an origin fails', () => {
  it.concurrent.each(FAULTS)(
    '%s',
    async (name, fault) => {
      const none: Fault = { type: 'none' };
      const outcomes = await Promise.all([
        serve(true, fault, none),
        serve(false, fault, none),
        serve(true, fault, fault),
        serve(false, fault, fault),
      ]);
      cells.set(name, outcomes.map(judge));
      const tokens = outcomes.map(({ records }) => records[0]?.completionTokens);
      expect([tokens[1], tokens[3]]).toEqual([tokens[0], tokens[2]]);
    },
    ROW_MS_MAX,
  );
});

describe('docs/reliability-origins.md', () => {
  it('has what clients see as it was just measured', async () => {
    const rows = FAULTS.map(([name]) => `| ${[name, ...(cells.get(name) ?? [])].join(' | ')} |`);
    const head = '| fault | one origin, streaming | one, not streaming | both, streaming | both, not streaming |';
    await expectDocSection('What an HTTP client sees', `${INTRODUCTION}\n${head}\n${RULE}\n${rows.join('\n')}\n`);
  });
});

const RULE = '| --- | --- | --- | --- | --- |';
const INTRODUCTION = `\`worker/test/origin-faults.test.ts\` asks the gateway for a chat. "One" has the fault at the origin that is asked first, and a
healthy second one. Each cell was checked for this: an answer is the whole text with its finish reason, and a stream of it ends
with \`[DONE]\`; a stream with an error has the error as its last event and no \`[DONE]\`; the request leaves exactly one record,
with the client's error code, every call that was made to an origin, and exactly the tokens that the origin gave, as many for an
answer that is not streamed as for a stream.

A status is the error's own while the head is held back, which is up to a second. After that it is 200, and the error is the
last event of the stream or the only content of the JSON body: "after a wait".
`;
