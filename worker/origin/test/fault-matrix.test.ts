/** Every fault, at one of two origins and at both, while two real engines work: the first table of `docs/reliability-origins.md`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Fault, type FaultProxy, startFaultProxy } from '../../../ops/testing/fault-proxy.ts';
import { type OriginBackend, OriginError } from '../origin-backend.ts';
import { expectDocSection } from './support/doc-section.ts';
import { DEADLINES, FAULTS, KEY_OF_A } from './support/faults.ts';
import {
  chatRequest,
  collect,
  type Collected,
  type Engines,
  poolOver,
  startEngines,
  TOKENS,
} from './support/real-origins.ts';

interface Outcome extends Collected {
  readonly numRequests: number;
}

let engines: Engines;
let reference: string;
const cells = new Map<string, readonly [string, string]>();

beforeAll(async () => {
  engines = await startEngines();
  const alone = poolOver([engines.engines[0].url]);
  const answer = await collect(alone.stream(chatRequest(), new AbortController().signal));
  expect(answer.error).toBeNull();
  reference = answer.text;
});
afterAll(() => engines.stop());

async function serve(faultOfA: Fault, faultOfB: Fault): Promise<Outcome> {
  const proxies: FaultProxy[] = await Promise.all(engines.engines.map(({ url }) => startFaultProxy(url)));
  const [a, b] = proxies as [FaultProxy, FaultProxy];
  a.fault = faultOfA;
  b.fault = faultOfB;
  const pool: OriginBackend = poolOver(proxies.map(({ url }) => url));
  const request = chatRequest({ affinityKey: KEY_OF_A, deadlines: DEADLINES });
  const collected = await collect(pool.stream(request, new AbortController().signal));
  expect(pool.health().map(({ inFlight, waiting }) => inFlight + waiting)).toEqual([0, 0]);
  await Promise.all(proxies.map((proxy) => proxy.close()));
  return { ...collected, numRequests: a.numRequests + b.numRequests };
}

/** What must hold whatever happened; and what happened, in words. */
function judge({ error, ...answer }: Outcome): string {
  if (error === null) {
    expect(answer).toMatchObject({ text: reference, hasEnded: true, finishReason: 'length', completionTokens: TOKENS });
    expect(answer.usage?.completionTokens).toBe(TOKENS);
    expect(answer.numRequests).toBe(answer.servedBy?.attempts);
    const { attempts = 0, originId } = answer.servedBy ?? {};
    return attempts === 1 ? 'whole answer' : `whole answer from ${originId}, attempt ${attempts}`;
  }
  expect(error).toBeInstanceOf(OriginError);
  const failure = error as OriginError;
  // Never a finish, never a clean end, never text that the model did not write, and every token counted once.
  expect(answer).toMatchObject({ hasEnded: false, finishReason: null, completionTokens: failure.tokensSent });
  expect(reference.startsWith(answer.text)).toBe(true);
  expect(answer.numRequests).toBe(failure.attempts);
  expect(failure.message).not.toContain('CUDA');
  const attempts = failure.attempts === 1 ? '1 attempt' : `${failure.attempts} attempts`;
  if (failure.code === 'cut') {
    expect(failure.tokensSent).toBeGreaterThan(0);
    return 'error `cut`, the tokens before it counted, never tried again';
  }
  expect(failure.tokensSent).toBe(0);
  return `error \`${failure.code}\`, ${failure.status}, after ${attempts}`;
}

describe('two origins, and a fault', () => {
  it.concurrent.each(FAULTS)('%s', async (name, fault) => {
    const [one, both] = await Promise.all([serve(fault, { type: 'none' }), serve(fault, fault)]);
    cells.set(name, [judge(one), judge(both)]);
  });
});

describe('docs/reliability-origins.md', () => {
  it('has the table as it was just measured', async () => {
    const rows = FAULTS.map(([name]) => `| ${[name, ...(cells.get(name) ?? ['', ''])].join(' | ')} |`);
    const head = '| fault | at the origin that is asked first | at both |\n| --- | --- | --- |';
    await expectDocSection('In the pool', `${INTRODUCTION}\n${head}\n${rows.join('\n')}\n`);
  });
});

const INTRODUCTION = `\`worker/origin/test/fault-matrix.test.ts\` asks the pool of origins itself. Each row was checked for this: an answer is the whole
text that the model gives alone, with as many tokens as the engine counts; an error comes with a prefix of that text, no finish
reason and no end, and with the number of tokens in it; no call to an origin was made that was not counted.
`;
