/** Hedging in the pool: scripted origins on a clock that the test winds. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AbortedError } from '../../shards/client/abort.ts';
import { settled } from '../../ops/testing/manual-clock.ts';
import { TTFT_SAMPLES_MIN } from './hedge.ts';
import { DEFAULT_BREAKER } from './origin-breaker.ts';
import { ATTEMPTS_MAX } from './origin-pool.ts';
import { DEFAULT_RETRY_BUDGET } from './retry-budget.ts';
import { chatRequest, collect } from './test/support/real-origins.ts';
import { answerOf, scriptedPool, type Respond } from './test/support/scripted-origin.ts';

/** Time to the first token that is usual here, and so the delay. */
const USUAL_MS = 100;
const { signal } = new AbortController();
const FAILED = (): Response => new Response('{}', { status: 500 });
const REFUSED = (): Response => new Response('{"error":{"message":"bad"}}', { status: 400 });

interface Script {
  readonly ms: number;
  readonly respond: () => Response;
  /** In place of `ms`. */
  readonly when?: Promise<void>;
}

/** Two origins, of which `a` is asked first, after enough requests for a delay to be known. */
async function warmPool(configOfA: object = {}, configOfB: object = {}) {
  const models = [{ public: 'lamina-pro', upstream: 'up', capabilities: ['chat'], hedging: { enabled: true } }];
  const usual: Script = { ms: USUAL_MS, respond: () => answerOf('usual') };
  const scripts: Record<'a' | 'b', Script> = { a: usual, b: usual };
  const calls: string[] = [];
  const aborted: string[] = [];
  const respond =
    (id: 'a' | 'b'): Respond =>
    (_url, init) => {
      calls.push(id);
      init.signal?.addEventListener('abort', () => aborted.push(id));
      const { ms, respond: answer, when } = scripts[id];
      if (when !== undefined) {
        return when.then(answer);
      }
      return new Promise((resolve) => {
        scripted.clock.startTimer(ms, () => resolve(answer()));
      });
    };
  const scripted = scriptedPool([
    { respond: respond('a'), config: { models, weight: 100, ...configOfA } },
    { respond: respond('b'), config: { models, weight: 1, ...configOfB } },
  ]);
  for (let index = 0; index < TTFT_SAMPLES_MIN; index++) {
    const done = collect(scripted.pool.stream(chatRequest(), signal));
    await scripted.clock.wind(USUAL_MS);
    await done;
  }
  calls.length = 0;
  aborted.length = 0;
  const idle = (): void => {
    expect(scripted.pool.health().map(({ inFlight, waiting }) => inFlight + waiting)).toEqual([0, 0]);
  };
  return { ...scripted, scripts, calls, aborted, idle };
}

type Warm = Awaited<ReturnType<typeof warmPool>>;

async function ask(warm: Warm, a: Script, b: Script, windMs = 5_000) {
  Object.assign(warm.scripts, { a, b });
  const done = collect(warm.pool.stream(chatRequest(), signal));
  await warm.clock.wind(windMs);
  return done;
}

describe('a first token that is late', () => {
  it('has the other origin asked, whose answer is given when it comes first; the slow call ends', async () => {
    const warm = await warmPool();
    const [slow, fast] = [
      { ms: 4000, respond: () => answerOf('slow') },
      { ms: 50, respond: () => answerOf('x', 'y') },
    ];
    Object.assign(warm.scripts, { a: slow, b: fast });
    const stream = warm.pool.stream(chatRequest(), signal);
    const first = stream.next();
    await warm.clock.wind(USUAL_MS + 50);
    expect((await first).value).toMatchObject({ type: 'served_by', originId: 'b', attempts: 2 });
    // At the winner's first content, not at its end.
    expect([warm.calls, warm.aborted]).toEqual([['a', 'b'], ['a']]);
    expect(warm.pool.health()).toMatchObject([
      { inFlight: 0, failures: 0, hedges: 0 },
      { inFlight: 1, hedges: 1 },
    ]);
    const rest = await collect(stream);
    expect(rest).toMatchObject({ text: 'xy', hasEnded: true, error: null, usage: { completionTokens: 2 } });
    warm.idle();
  });

  it('may still come first; then the second call ends', async () => {
    const warm = await warmPool();
    const late = { ms: USUAL_MS + 20, respond: () => answerOf('first') };
    const result = await ask(warm, late, { ms: 300, respond: () => answerOf('second') });
    expect(result).toMatchObject({ text: 'first', servedBy: { originId: 'a', attempts: 2 }, completionTokens: 1 });
    expect(warm.aborted).toContain('b');
    warm.idle();
    expect(warm.clock.numTimers).toBe(0);
  });

  it('may come in the same moment as that of the other: one of the two is given, nothing of the other is left', async () => {
    const warm = await warmPool();
    let start = (): void => {};
    const when = new Promise<void>((resolve) => {
      start = resolve;
    });
    const both = { ms: 0, when, respond: () => answerOf('x') };
    Object.assign(warm.scripts, { a: both, b: both });
    const done = collect(warm.pool.stream(chatRequest(), signal));
    await warm.clock.wind(USUAL_MS);
    start();
    expect(await done).toMatchObject({ text: 'x', completionTokens: 1, hasEnded: true, servedBy: { attempts: 2 } });
    await settled();
    warm.idle();
    expect(warm.clock.numTimers).toBe(0);
  });

  it('is waited for when the other fails, and the other is when it fails', async () => {
    const late = { ms: 400, respond: () => answerOf('good') };
    const one = await warmPool();
    const first = await ask(one, late, { ms: 10, respond: FAILED });
    expect(first).toMatchObject({ text: 'good', servedBy: { originId: 'a', attempts: 2 } });
    expect(one.pool.health().map(({ failures }) => failures)).toEqual([0, 1]);
    const two = await warmPool();
    const second = await ask(two, { ms: USUAL_MS + 10, respond: FAILED }, late);
    expect(second).toMatchObject({ text: 'good', servedBy: { originId: 'b', attempts: 2 } });
    one.idle();
    two.idle();
  });

  it('has at most one more call when both fail', async () => {
    const warm = await warmPool();
    const { error } = await ask(warm, { ms: 150, respond: FAILED }, { ms: 150, respond: FAILED });
    expect(error).toMatchObject({ code: 'bad_status', attempts: ATTEMPTS_MAX });
    expect(warm.calls).toHaveLength(ATTEMPTS_MAX);
    warm.idle();
  });

  it('ends with the refusal when one of the two refuses the request', async () => {
    const warm = await warmPool();
    const { error } = await ask(warm, { ms: 4000, respond: FAILED }, { ms: 10, respond: REFUSED });
    expect(error).toMatchObject({ code: 'rejected', attempts: 2 });
    expect(warm.calls).toEqual(['a', 'b']);
    warm.idle();
  });

  it('ends both calls when the client leaves, and blames nobody', async () => {
    const warm = await warmPool();
    const never = { ms: 60_000, respond: FAILED };
    Object.assign(warm.scripts, { a: never, b: never });
    const controller = new AbortController();
    const done = collect(warm.pool.stream(chatRequest(), controller.signal));
    await warm.clock.wind(USUAL_MS + 10);
    expect(warm.calls).toEqual(['a', 'b']);
    controller.abort();
    expect((await done).error).toBeInstanceOf(AbortedError);
    await settled();
    expect([...new Set(warm.aborted)].sort()).toEqual(['a', 'b']);
    expect(warm.pool.health().map(({ failures }) => failures)).toEqual([0, 0]);
    warm.idle();
  });
});

describe('no second origin is asked', () => {
  const late = { ms: 400, respond: () => answerOf('late') };
  const off = {
    models: [{ public: 'lamina-pro', upstream: 'up', capabilities: ['chat'] }],
  };

  it.each([
    ['by default', off, off],
    ['unless the second has it too', {}, off],
    ['unless the first has it too', off, {}],
  ])('%s', async (_name, configOfA, configOfB) => {
    const warm = await warmPool(configOfA, configOfB);
    const result = await ask(warm, late, late);
    expect([warm.calls, result.servedBy?.attempts]).toEqual([['a'], 1]);
  });

  it('before the usual time has passed', async () => {
    const warm = await warmPool();
    await ask(warm, { ...late, ms: USUAL_MS - 1 }, late);
    expect(warm.calls).toEqual(['a']);
  });

  it('while it is busy', async () => {
    const warm = await warmPool({}, { concurrency: 1 });
    warm.origins[1]?.slots.acquireNow();
    await ask(warm, late, late);
    expect(warm.calls).toEqual(['a']);
  });

  it('while it is left alone', async () => {
    const warm = await warmPool();
    warm.origins[1]?.sawBusy(5000);
    await ask(warm, late, late);
    expect(warm.calls).toEqual(['a']);
  });

  it('beside the trial of a breaker', async () => {
    const warm = await warmPool();
    for (let failures = 0; failures < DEFAULT_BREAKER.failuresInRow; failures++) {
      warm.origins[0]?.breaker.begin()('failure');
      await settled();
    }
    expect(warm.pool.health()[0]?.breaker).toBe('open');
    await warm.clock.wind(DEFAULT_BREAKER.openMs[0]);
    await ask(warm, late, late);
    expect(warm.calls).toEqual(['a']);
  });

  it('when the retries of this time are used up', async () => {
    const warm = await warmPool({ concurrency: 1024 }, { concurrency: 1024 });
    const { floorPerSecond, windowSeconds, ratio } = DEFAULT_RETRY_BUDGET;
    const budget = floorPerSecond * windowSeconds;
    const numAsked = 2 * budget;
    Object.assign(warm.scripts, { a: late, b: late });
    const all = Array.from({ length: numAsked }, () => collect(warm.pool.stream(chatRequest(), signal)));
    await warm.clock.wind(400);
    await Promise.all(all);
    const numHedges = warm.pool.health().reduce((sum, { hedges }) => sum + hedges, 0);
    expect(numHedges).toBe(budget + ratio * (numAsked + TTFT_SAMPLES_MIN));
    warm.idle();
  });
});

it('whatever the two do and when, the answer is that of one of them, calls are counted, and nothing is left', async () => {
  const script = fc.record({
    ms: fc.integer({ min: 0, max: 600 }),
    kind: fc.constantFrom('good', 'failed', 'refused'),
  });
  await fc.assert(
    fc.asyncProperty(script, script, async (a, b) => {
      const warm = await warmPool();
      const made = ({ ms, kind }: typeof a, text: string): Script => ({
        ms,
        respond: kind === 'good' ? () => answerOf(text, text) : kind === 'failed' ? FAILED : REFUSED,
      });
      const { error, ...answer } = await ask(warm, made(a, 'a'), made(b, 'b'));
      if (error === null) {
        const id = answer.servedBy?.originId as string;
        expect(answer).toMatchObject({ text: id + id, hasEnded: true, completionTokens: 2 });
        expect(answer.servedBy?.attempts).toBe(warm.calls.length);
      } else {
        expect(error).toMatchObject({ attempts: warm.calls.length, tokensSent: 0 });
      }
      expect(warm.calls.length).toBeLessThanOrEqual(ATTEMPTS_MAX);
      warm.idle();
    }),
    { numRuns: 15 },
  );
});
