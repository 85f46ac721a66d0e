import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { createStageRuntime, PAGE_SIZE_TOKENS, type StageRuntime } from '../../../wasm/host/stage-runtime.ts';
import {
  collect,
  collectAnswer,
  parseEvents,
  pollStats,
  promptOf,
  requestOf,
  tinyRings,
  tokensOf,
} from '../../test/tiny-ring.ts';
import type { MemoryPageStore } from '../../platform/memory-page-store.ts';
import type { GenerateEvent, GenerateRequest, HeadClient } from '../protocol.ts';
import { GREEDY } from '../../sampling/greedy.ts';

const rings = await tinyRings();
const kernels = await loadKernels();

async function expectEmpty(head: HeadClient): Promise<void> {
  const stats = await head.stats();
  expect(stats).toMatchObject({ numRunning: 0, numWaiting: 0, numFreePages: stats.numPages });
}

describe('a generation', () => {
  it('ends with what was counted', async () => {
    const { engine } = await rings.open({ stageCount: 2 });
    const events = await collect(engine, requestOf({ promptTokens: promptOf(20), maxTokens: 5 }));
    expect(events.map(({ type }) => type)).toEqual(['token', 'token', 'token', 'token', 'token', 'finish']);
    const counts = { promptTokens: 20, completionTokens: 5, cachedTokens: 0 };
    expect(events.at(-1)).toEqual({ type: 'finish', reason: 'length', ...counts });
    expect(await engine.stats()).toMatchObject({
      model: 'tiny',
      stageCount: 2,
      ringOpen: true,
      numStepsTotal: 5,
      numPromptTokensTotal: 20,
      numGeneratedTokensTotal: 5,
      pageSizeTokens: PAGE_SIZE_TOKENS,
    });
    await expectEmpty(engine);
  });

  it('ends before a stop token, which is not sent', async () => {
    const { engine } = await rings.open();
    const tokens = tokensOf(await collect(engine, requestOf()));
    const stopTokenId = tokens[4] ?? -1;
    const numBefore = tokens.indexOf(stopTokenId);
    const events = await collect(engine, requestOf({ stopTokenIds: [stopTokenId] }));
    expect(tokensOf(events)).toEqual(tokens.slice(0, numBefore));
    expect(events.at(-1)).toMatchObject({ reason: 'stop', completionTokens: numBefore });
  });

  it('of no tokens computes the prompt', async () => {
    const { engine } = await rings.open({ numTokensMax: 8 });
    const request = requestOf({ promptTokens: promptOf(30), maxTokens: 0 });
    expect((await collect(engine, request)).map(({ type }) => type)).toEqual(['finish']);
    expect(await engine.stats()).toMatchObject({ numPromptTokensTotal: 30 });
    const events = await collect(engine, { ...request, numPromptLogprobs: 2 });
    expect(events.map(({ type }) => type)).toEqual(['prompt', 'finish']);
    const logprobs = events[0]?.type === 'prompt' ? events[0].logprobs : [];
    expect(logprobs.map(({ tokenId }) => tokenId)).toEqual(request.promptTokens.slice(1));
    expect(logprobs.every(({ top, logprob }) => top.length === 2 && logprob <= (top[0]?.[1] ?? 0))).toBe(true);
  });

  it('reports the log-probabilities of the end of a prompt, and takes its beginning from the cache', async () => {
    const { engine } = await rings.open();
    const request = requestOf({ promptTokens: promptOf(60), maxTokens: 0, numPromptLogprobs: 1 });
    const all = (await collect(engine, request))[0];
    // Pages of 16 tokens: of the last one, which is not full, nothing is known.
    for (const [promptLogprobsStart, cachedTokens] of [
      [1, 0],
      [16, 15],
      [33, 32],
      [40, 39],
      [59, 48],
    ] as const) {
      const events = await collect(engine, { ...request, promptLogprobsStart });
      const logprobs = all?.type === 'prompt' ? all.logprobs.slice(promptLogprobsStart - 1) : [];
      expect(events).toEqual([
        { type: 'prompt', logprobs },
        {
          type: 'finish',
          reason: 'length',
          promptTokens: 60,
          completionTokens: 0,
          cachedTokens,
        },
      ]);
    }
  });

  it('of a prompt of one token has no prompt log-probabilities to report', async () => {
    const { engine } = await rings.open();
    const events = await collect(engine, requestOf({ promptTokens: [5], maxTokens: 1, numPromptLogprobs: 0 }));
    expect(events.map(({ type }) => type)).toEqual(['prompt', 'token', 'finish']);
    expect(events[0]).toMatchObject({ logprobs: [] });
  });

  it('fills the context and no more', async () => {
    const { engine } = await rings.open({ contextLengthMax: 32 });
    const generate = (numPromptTokens: number): Promise<GenerateEvent[]> =>
      collect(engine, requestOf({ promptTokens: promptOf(numPromptTokens), maxTokens: 100 }));
    expect(tokensOf(await generate(30))).toHaveLength(3);
    expect(tokensOf(await generate(32))).toHaveLength(1);
    expect(await generate(33)).toMatchObject([{ type: 'error', code: 'prompt_too_long', retryable: false }]);
    await expectEmpty(engine);
  });

  it('that was complete before the cut only finishes', async () => {
    const { engine } = await rings.open({ contextLengthMax: 32 });
    const complete = requestOf({ emittedTokens: promptOf(4), maxTokens: 4 });
    const full = requestOf({ promptTokens: promptOf(30), emittedTokens: promptOf(3), maxTokens: 100 });
    for (const request of [complete, full]) {
      expect(await collect(engine, request)).toMatchObject([{ type: 'finish', reason: 'length' }]);
    }
  });
});

describe('admission', () => {
  it('refuses a request that cannot be right', async () => {
    const { engine } = await rings.open();
    expect(await collect(engine, requestOf({ promptTokens: [] }))).toMatchObject([{ code: 'invalid_request' }]);
  });

  it('refuses what the queue cannot hold, and answers the rest', async () => {
    const limits = { sequencesRunningMax: 1, sequencesWaitingMax: 2 };
    const { engine } = await rings.open({ limits });
    const running = collect(engine, requestOf({ maxTokens: 60 }));
    await pollStats(engine, ({ numRunning }) => numRunning === 1);
    const waiting = [collect(engine, requestOf()), collect(engine, requestOf())];
    await pollStats(engine, ({ numWaiting }) => numWaiting === 2);
    expect(await collect(engine, requestOf())).toMatchObject([{ type: 'error', code: 'queue_full', retryable: true }]);
    for (const events of await Promise.all([running, ...waiting])) {
      expect(events.at(-1)).toMatchObject({ type: 'finish' });
    }
  });

  it('says when there will be room again, by what waits and how fast it is worked off', async () => {
    const limits = { sequencesRunningMax: 1, sequencesWaitingMax: 1 };
    const { engine } = await rings.open({ limits });
    const running = await engine.generate(requestOf({ maxTokens: 400 }));
    await pollStats(engine, ({ numGeneratedTokensTotal }) => numGeneratedTokensTotal > 20);
    const waiting = await engine.generate(requestOf());
    const [refusal] = await collect(engine, requestOf());
    const { retryAfterMs = 0 } = refusal?.type === 'error' ? refusal : {};
    expect(Number.isSafeInteger(retryAfterMs)).toBe(true);
    expect(retryAfterMs).toBeGreaterThanOrEqual(1_000);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
    await Promise.all([running.cancel(), waiting.cancel()]);
  });

  it('leaves room for other tenants when one has its share of the queue', async () => {
    const limits = { sequencesRunningMax: 1, sequencesWaitingMax: 3, tenantWaitingMax: 2 };
    const { engine } = await rings.open({ limits });
    const busy = requestOf({ cacheSalt: 'busy' });
    const running = await engine.generate(requestOf({ maxTokens: 400, cacheSalt: 'busy' }));
    await pollStats(engine, ({ numRunning }) => numRunning === 1);
    const waiting = [await engine.generate(busy), await engine.generate(busy)];
    expect(await collect(engine, busy)).toMatchObject([
      { code: 'queue_full', retryable: true, message: expect.stringContaining('requests of yours') },
    ]);
    const answer = collect(engine, requestOf({ cacheSalt: 'other' }));
    await pollStats(engine, ({ numWaiting }) => numWaiting === 3);
    await running.cancel();
    expect((await answer).at(-1)).toMatchObject({ type: 'finish' });
    await Promise.all(waiting.map((stream) => stream.cancel()));
  });

  it('serves a tenant that comes late before the rest of a long queue', async () => {
    const { engine } = await rings.open({ limits: { sequencesRunningMax: 1 } });
    const ended: string[] = [];
    const ask = async (cacheSalt: string, maxTokens = 20): Promise<void> => {
      await collect(engine, requestOf({ cacheSalt, maxTokens }));
      ended.push(cacheSalt);
    };
    const answers = [ask('busy', 200), ask('busy'), ask('busy'), ask('busy')];
    await pollStats(engine, ({ numWaiting }) => numWaiting === 3);
    answers.push(ask('late'));
    await Promise.all(answers);
    // It starts where the other one is; what that one's running answer costs from then on puts it behind.
    expect(ended).toEqual(['busy', 'late', 'busy', 'busy', 'busy']);
  });

  it('says that a stage without its model is not ready', async () => {
    const { engine } = await rings.open({
      assets: {
        // The manifest is there when the ring is planned, and gone when it is asked.
        open: (() => {
          let numOpened = 0;
          return (name: string) => (numOpened++ === 0 ? rings.assets.open(name) : Promise.resolve(null));
        })(),
      },
    });
    expect(await collect(engine, requestOf())).toMatchObject([{ code: 'not_ready', retryable: false }]);
  });
});

describe('the load', () => {
  it('is told first, with the request itself in it', async () => {
    const { engine } = await rings.open({ limits: { sequencesRunningMax: 1 } });
    const running = await engine.generate(requestOf({ maxTokens: 400 }));
    await pollStats(engine, ({ numRunning }) => numRunning === 1);
    const waiting = await engine.generate(requestOf());
    const [line = ''] = new TextDecoder().decode((await waiting.getReader().read()).value).split('\n');
    expect(JSON.parse(line)).toMatchObject({ type: 'accepted', load: { numRunning: 1, numWaiting: 1 } });
    await running.cancel();
  });
});

describe('cancellation', () => {
  it('frees a running and a waiting sequence at once', async () => {
    const { engine } = await rings.open({ stageCount: 2, limits: { sequencesRunningMax: 1 } });
    const running = (await engine.generate(requestOf({ maxTokens: 400 }))).getReader();
    await pollStats(engine, ({ numRunning }) => numRunning === 1);
    const waiting = await engine.generate(requestOf());
    expect(await engine.stats()).toMatchObject({ numRunning: 1, numWaiting: 1 });
    await waiting.cancel();
    expect(await engine.stats()).toMatchObject({ numRunning: 1, numWaiting: 0 });
    await running.cancel();
    await expectEmpty(engine);
    expect((await collect(engine, requestOf())).at(-1)).toMatchObject({ type: 'finish' });
  });

  it('of sequences whose steps are in flight leaves the others and the pages whole', async () => {
    const options = { stageCount: 3, stepsInFlightMax: 3, numTokensMax: 32 };
    const { engine } = await rings.open({ ...options, contextLengthMax: 256, numPages: 18 });
    const survivor = requestOf({ promptTokens: promptOf(90), maxTokens: 60 });
    const expected = await collect((await rings.open()).engine, survivor);
    const answer = collect(engine, survivor);
    for (let round = 0; round < 8; round++) {
      const streams = await Promise.all(
        [1, 2, 3].map((salt) =>
          engine.generate(requestOf({ promptTokens: promptOf(70, round * 3 + salt), maxTokens: 40 })),
        ),
      );
      const { numStepsTotal } = await engine.stats();
      await pollStats(engine, (stats) => stats.numStepsTotal > numStepsTotal + round);
      await Promise.all(streams.map((stream) => stream.cancel()));
    }
    expect(await answer).toEqual(expected);
    await expectEmpty(engine);
  });
});

describe('a reader that does not keep up', () => {
  it('pauses its sequence, which goes on where it was', async () => {
    const { engine } = await rings.open({ limits: { eventBytesMax: 250 } });
    const request = requestOf({ maxTokens: 60 });
    const expected = await collect((await rings.open()).engine, request);
    const stream = await engine.generate(request);
    const { numGeneratedTokensTotal } = await pollStats(engine, (stats) => stats.numGeneratedTokensTotal > 3);
    expect(await collectAnswer(engine, request)).toEqual(expected);
    // The second answer is whole; the first got no further than its buffer.
    const paused = await engine.stats();
    expect(paused.numRunning).toBe(1);
    expect(paused.numGeneratedTokensTotal - 60).toBeLessThan(numGeneratedTokensTotal + 10);
    expect(parseEvents(await new Response(stream).text())).toEqual(expected);
    await expectEmpty(engine);
  });

  it.each([
    ['waits for it without pages, within the bound', 2, 2],
    ['is given up beyond it, whoever has stalled longest first', 3, 2],
  ])('%s', async (_name, numStalled, stalledWaitingMax) => {
    const limits = { eventBytesMax: 200, stalledWaitingMax };
    const { engine } = await rings.open({ contextLengthMax: 256, numPages: 16, limits });
    const stalled: ReadableStream<Uint8Array>[] = [];
    const request = (salt: number): GenerateRequest => requestOf({ promptTokens: promptOf(20, salt), maxTokens: 40 });
    for (let salt = 0; salt < numStalled; salt++) {
      const { numGeneratedTokensTotal } = await engine.stats();
      stalled.push(await engine.generate(request(salt)));
      // As many as fit into its buffer.
      await pollStats(engine, (stats) => stats.numGeneratedTokensTotal > numGeneratedTokensTotal + 2);
    }
    // It needs all pages in the end, and takes them from those that do not read.
    const hungry = await collect(engine, requestOf({ promptTokens: promptOf(20, 99), maxTokens: 236 }));
    expect(hungry.at(-1)).toMatchObject({ type: 'finish', completionTokens: 236 });
    expect(await engine.stats()).toMatchObject({ numPreemptionsTotal: numStalled });
    const lasts = await Promise.all(
      stalled.map(async (stream) => parseEvents(await new Response(stream).text()).at(-1)?.type),
    );
    const numGivenUp = numStalled - stalledWaitingMax;
    expect(lasts).toEqual(lasts.map((_, index) => (index < numGivenUp ? 'error' : 'finish')));
    await expectEmpty(engine);
  });

  it('is given up after a while', async () => {
    const { engine } = await rings.open({ limits: { eventBytesMax: 200, readerStallMs: 20 } });
    const stream = await engine.generate(requestOf({ maxTokens: 60 }));
    await pollStats(
      engine,
      ({ numGeneratedTokensTotal, numRunning }) => numGeneratedTokensTotal > 0 && numRunning === 0,
    );
    await expectEmpty(engine);
    const events = parseEvents(await new Response(stream).text());
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'internal' });
  });
});

describe('pages', () => {
  it('that run out cost time, not tokens', async () => {
    const requests = [0, 1, 2, 3].map((salt) =>
      requestOf({
        promptTokens: promptOf(30, salt),
        maxTokens: 40,
        sampling: { ...GREEDY, temperature: 1, frequencyPenalty: 0.3, seed: salt },
        numTopLogprobs: 1,
        numPromptLogprobs: 1,
      }),
    );
    const roomy = await rings.open({ stageCount: 2 });
    const expected = await Promise.all(requests.map((request) => collect(roomy.engine, request)));
    // Five pages each: two sequences fit when they start, and not when they end.
    const tight = await rings.open({ stageCount: 2, contextLengthMax: 80, numPages: 7 });
    expect(await Promise.all(requests.map((request) => collect(tight.engine, request)))).toEqual(expected);
    expect((await tight.engine.stats()).numPreemptionsTotal).toBeGreaterThan(0);
    await expectEmpty(tight.engine);
  });
});

describe('page operations', () => {
  const limits = { sequencesRunningMax: 2, pageOperationsStepMax: 3 };

  it('that one step cannot carry go in several', async () => {
    const { engine, pageStores } = await rings.open({ stageCount: 2, limits, numTokensMax: 64 });
    const requests = [1, 2, 3].map((salt) => requestOf({ promptTokens: promptOf(130, salt), maxTokens: 3 }));
    await Promise.all(requests.map((request) => collect(engine, request)));
    await pollStats(engine, () => pageStores.every((store) => (store as MemoryPageStore).numPages === 3 * 8));
  });

  it('need room for one of each sequence', async () => {
    await expect(rings.open({ limits: { ...limits, pageOperationsStepMax: 2 } })).resolves.toBeDefined();
    await expect(rings.open({ limits: { ...limits, pageOperationsStepMax: 1 } })).rejects.toThrow('has no room');
  });

  it('that break every ring end the requests that wait for them', async () => {
    const { engine, ring } = await rings.open({ limits: { reopenDelayMs: 1, reopenDelayMsMax: 1 } });
    await collect(engine, requestOf({ promptTokens: promptOf(40) }));
    await pollStats(engine, ({ numSavedPagesTotal }) => numSavedPagesTotal === 3);
    ring.close('its pages are lost');
    const [open, submit] = [ring.open.bind(ring), ring.submit.bind(ring)];
    ring.open = async () => {
      const opened = await open();
      return opened.ok ? { ok: true, value: { kvKept: false } } : opened;
    };
    ring.submit = (step) => {
      if (step.pageOperations.some(({ kind }) => kind === 'restore')) {
        ring.close('broken by the test');
      }
      return submit(step);
    };
    const events = await collect(engine, requestOf({ promptTokens: promptOf(40) }));
    expect(events).toMatchObject([{ type: 'error', code: 'ring_failed', retryable: true }]);
    await expectEmpty(engine);
  });
});

describe('an engine that fails', () => {
  it('tells every client, frees everything and answers the next one', async () => {
    let isBroken = true;
    const { engine } = await rings.open({
      createRuntime: (options) => {
        const runtime = createStageRuntime(kernels, options);
        return new Proxy(runtime, {
          get(target, name) {
            const value: unknown = Reflect.get(target, name, target);
            if (name === 'logits') {
              const logits: StageRuntime['logits'] = (rows) =>
                isBroken ? target.logits(rows).fill(Number.NaN) : target.logits(rows);
              return logits;
            }
            return typeof value === 'function' ? (value.bind(target) as unknown) : value;
          },
        });
      },
    });
    const answers = await Promise.all([collect(engine, requestOf()), collect(engine, requestOf({ maxTokens: 3 }))]);
    for (const events of answers) {
      expect(events).toMatchObject([{ type: 'error', code: 'internal', retryable: true }]);
    }
    await expectEmpty(engine);
    isBroken = false;
    // What the pages hold is anybody's guess, so nothing of it is used.
    expect((await collect(engine, requestOf())).at(-1)).toMatchObject({ type: 'finish', cachedTokens: 0 });
  });
});
