/**
 * Where keys and values come from changes no bit of an answer: computed, shared, copied from the middle of a page, restored
 * from the stores, kept or lost when a ring breaks.
 */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../wasm/build.ts';
import { createStageRuntime, PAGE_SIZE_TOKENS, type StageRuntime } from '../../wasm/host/stage-runtime.ts';
import type { GenerateEvent, GenerateRequest } from '../engine/protocol.ts';
import { PageHashChain } from '../kv/page-hash-chain.ts';
import { decodeFrame } from '../link/decode-frame.ts';
import type { LocalEngine, LocalEngineOptions } from '../platform/local/local-engine.ts';
import { MemoryPageStore } from '../platform/memory-page-store.ts';
import { systemClock } from '../platform/system.ts';
import { ok } from '../result.ts';
import { answerOf, collect, pollStats, promptOf, requestOf, tinyRings, tokensOf } from './tiny-ring.ts';
import { GREEDY } from '../sampling/greedy.ts';

const rings = await tinyRings();
const kernels = await loadKernels();

/** Four pages and eleven tokens. */
const PROMPT = promptOf(75);
const NUM_PAGES_CACHED = Math.floor(PROMPT.length / PAGE_SIZE_TOKENS);
const NUM_TOKENS_CACHED = NUM_PAGES_CACHED * PAGE_SIZE_TOKENS;

function ask(overrides: Partial<GenerateRequest> = {}): GenerateRequest {
  const sampling = { ...GREEDY, temperature: 0.8, topP: 0.9, frequencyPenalty: -0.3, seed: 5 };
  return requestOf({ promptTokens: PROMPT, maxTokens: 24, sampling, numTopLogprobs: 3, ...overrides });
}

/** The first tokens of the common prompt, then others. */
function branch(numCommon: number, numTokens = 75): number[] {
  return [...PROMPT.slice(0, numCommon), ...promptOf(numTokens - numCommon, 77)];
}

/** What an engine says that has never been asked anything before. */
async function answerCold(request: GenerateRequest): Promise<GenerateEvent[]> {
  const { engine, ring } = await rings.open({ limits: { draftStepTokensMax: 1 } });
  const events = await collect(engine, request);
  ring.close('asked');
  return answerOf(events);
}

const cachedTokensOf = (events: readonly GenerateEvent[]): number | null => {
  const last = events.at(-1);
  return last?.type === 'finish' ? last.cachedTokens : null;
};

const expected = await answerCold(ask());

const SETTINGS: readonly (readonly [name: string, options: Partial<LocalEngineOptions>])[] = [
  ['1 stage', { stageCount: 1, limits: { draftStepTokensMax: 1 } }],
  ['1 stage, drafts', { stageCount: 1, limits: { draftStepTokensMax: 12 } }],
  ['3 stages, 3 steps in flight', { stageCount: 3, stepsInFlightMax: 3, limits: { draftStepTokensMax: 1 } }],
  ['3 stages, 3 steps in flight, drafts', { stageCount: 3, stepsInFlightMax: 3, limits: { draftStepTokensMax: 12 } }],
];

describe.each(SETTINGS)('%s', (_, settings) => {
  const options = {
    numTokensMax: 32,
    timings: { saveDelayMs: 0 },
    ...settings,
    limits: { reopenDelayMs: 1, ...settings.limits },
  };
  const stageCount = options.stageCount ?? 1;

  /** That outlive their ring. */
  const createStores = (): MemoryPageStore[] =>
    Array.from({ length: stageCount }, () => new MemoryPageStore({ clock: systemClock }));

  /** The loop goes idle only when everything is saved. */
  const untilSaved = (local: LocalEngine, numPages: number): Promise<unknown> =>
    pollStats(local.engine, (stats) => stats.numSavedPagesTotal >= numPages);

  it('pages in memory', async () => {
    const { engine } = await rings.open(options);
    const first = await collect(engine, ask());
    expect([answerOf(first), cachedTokensOf(first)]).toEqual([expected, 0]);
    const second = await collect(engine, ask());
    // One page more: the answer went on in the last one, whose beginning is copied.
    expect([answerOf(second), cachedTokensOf(second)]).toEqual([expected, PROMPT.length - 1]);
    const stats = await engine.stats();
    expect(stats).toMatchObject({ numPromptTokensTotal: PROMPT.length + 1, numCachedTokensTotal: PROMPT.length - 1 });
    expect(stats.numFreePages).toBe(stats.numPages);
  });

  it('pages of an output', async () => {
    const { engine } = await rings.open(options);
    const tokens = tokensOf(await collect(engine, ask()));
    const conversation = ask({ promptTokens: [...PROMPT, ...tokens, ...promptOf(9, 3)] });
    const events = await collect(engine, conversation);
    expect(answerOf(events)).toEqual(await answerCold(conversation));
    expect(cachedTokensOf(events)).toBeGreaterThanOrEqual(96);
  });

  it('pages that are copied where the tokens part', async () => {
    const { engine } = await rings.open(options);
    await collect(engine, ask());
    for (const numCommon of [1, 15, 16, 17, 40, 64, 70]) {
      const request = ask({ promptTokens: branch(numCommon) });
      const events = await collect(engine, request);
      expect(answerOf(events)).toEqual(await answerCold(request));
      expect(cachedTokensOf(events)).toBeGreaterThanOrEqual(numCommon);
    }
    expect((await engine.stats()).numCopiedPagesTotal).toBeGreaterThan(3);
  });

  it('pages from the stores', async () => {
    const pageStores = createStores();
    const before = await rings.open({ ...options, pageStores });
    await collect(before.engine, ask());
    await untilSaved(before, NUM_PAGES_CACHED + 1);
    before.ring.close('the runtime ends');
    const after = await rings.open({ ...options, pageStores });
    const events = await collect(after.engine, ask());
    expect([answerOf(events), cachedTokensOf(events)]).toEqual([expected, NUM_TOKENS_CACHED]);
    expect(await after.engine.stats()).toMatchObject({
      numRestoredPagesTotal: NUM_PAGES_CACHED,
      numMissingPagesTotal: 0,
    });
  });

  it('pages that one stage has lost', async () => {
    const pageStores = createStores();
    const before = await rings.open({ ...options, pageStores });
    await collect(before.engine, ask());
    await untilSaved(before, NUM_PAGES_CACHED + 1);
    before.ring.close('the runtime ends');
    const lost = new PageHashChain('').key(PROMPT, 2);
    const after = await rings.open({ ...options, pageStores });
    pageStores.at(-1)?.delete([lost]);
    const events = await collect(after.engine, ask());
    expect([answerOf(events), cachedTokensOf(events)]).toEqual([expected, 2 * PAGE_SIZE_TOKENS]);
    await untilSaved(after, 1);
    expect(pageStores.at(-1)?.has(lost)).toBe(true);
  });

  it('several answers to one prompt, which is computed once', async () => {
    const { engine } = await rings.open(options);
    const requests = [5, 6, 7, 8, 9, 10, 11, 12].map((seed) => ask({ sampling: { ...ask().sampling, seed } }));
    const answers = await Promise.all(requests.map((request) => collect(engine, request)));
    for (const [i, request] of requests.entries()) {
      expect(answerOf(answers[i] ?? [])).toEqual(await answerCold(request));
    }
    const { numPromptTokensTotal } = await engine.stats();
    expect(numPromptTokensTotal).toBe(PROMPT.length + 7 * (PROMPT.length - NUM_TOKENS_CACHED));
  });

  it('pages that are taken away and come back', async () => {
    const requests = [0, 1, 2, 3].map((i) => ask({ promptTokens: branch(20 * i), maxTokens: 30, requestId: `${i}` }));
    // Seven pages each, of which the second has one with the first, and so on.
    const { engine } = await rings.open({ ...options, contextLengthMax: 112, numPages: 10 });
    const answers = await Promise.all(requests.map((request) => collect(engine, request)));
    for (const [i, request] of requests.entries()) {
      expect(answerOf(answers[i] ?? [])).toEqual(await answerCold(request));
    }
    const stats = await engine.stats();
    expect(stats.numPreemptionsTotal).toBeGreaterThan(0);
    expect(stats.numRestoredPagesTotal).toBeGreaterThan(0);
    expect(stats).toMatchObject({ numFreePages: 10, numRunning: 0, numWaiting: 0 });
  });

  it('pages of several tenants, who never have one together', async () => {
    const { engine, ring } = await rings.open({ ...options, contextLengthMax: 112, numPages: 20 });
    // Sequences are numbered in order of arrival, once the manifest has been read.
    await ring.readConfig();
    const saltOf = (sequenceId: number): string => `tenant ${sequenceId % 2}`;
    const submit = ring.submit.bind(ring);
    let numShared = 0;
    ring.submit = (step) => {
      const owners = new Map<number, string>();
      for (const { sequenceId, pageTable } of step.sequences) {
        for (const page of Array.from(pageTable)) {
          const owner = owners.get(page);
          numShared += owner === undefined ? 0 : 1;
          expect(owner ?? saltOf(sequenceId)).toBe(saltOf(sequenceId));
          owners.set(page, saltOf(sequenceId));
        }
      }
      return submit(step);
    };
    const ids = [1, 2, 3, 4, 5, 6];
    for (let round = 0; round < 2; round++) {
      const all = ids.map((id) => ask({ cacheSalt: saltOf(id), sampling: { ...ask().sampling, seed: id } }));
      const answers = await Promise.all(all.map((request) => collect(engine, request)));
      const [one, two] = answers.map(tokensOf);
      expect(one).not.toEqual(two);
    }
    expect(numShared).toBeGreaterThan(0);
  });

  // A ring of one has no links that could break.
  it.each(stageCount === 1 ? [] : [2, 5, 9])('a ring that breaks at frame %i and keeps its pages', async (target) => {
    let numSteps = 0;
    const wrapLink: NonNullable<LocalEngineOptions['wrapLink']> = (link) => ({
      attach: (handlers) => link.attach(handlers),
      close: (reason) => link.close(reason),
      send: (bytes) => {
        if (decodeFrame(bytes).kind === 'step' && numSteps++ === target) {
          link.close('cut by the test');
        } else {
          link.send(bytes);
        }
      },
    });
    const pageStores = createStores();
    const { engine } = await rings.open({ ...options, wrapLink, pageStores });
    const requests = [0, 30].map((numCommon) => ask({ promptTokens: branch(numCommon) }));
    const answers = await Promise.all(requests.map((request) => collect(engine, request)));
    for (const [i, request] of requests.entries()) {
      expect(answerOf(answers[i] ?? [])).toEqual(await answerCold(request));
    }
    expect(numSteps).toBeGreaterThan(target);
    // Nothing that had come back was computed twice.
    const { numPromptTokensTotal, numCachedPages } = await engine.stats();
    expect(numPromptTokensTotal).toBeLessThanOrEqual(2 * PROMPT.length);
    // Nor is anything less saved for it.
    await pollStats(engine, () => pageStores.every((store) => store.numPages === numCachedPages));
  });

  it('a ring that loses its pages', async () => {
    const runtimes: StageRuntime[] = [];
    const createRuntime: NonNullable<LocalEngineOptions['createRuntime']> = (runtimeOptions) => {
      const runtime = createStageRuntime(kernels, runtimeOptions);
      runtimes.push(runtime);
      return runtime;
    };
    const { engine, ring } = await rings.open({ ...options, createRuntime });
    const open = ring.open.bind(ring);
    ring.open = async () => {
      const opened = await open();
      for (const runtime of runtimes) {
        for (let page = 0; page < runtime.options.numPages; page++) {
          runtime.pages.write(page, new Uint8Array(runtime.pages.pageBytes).fill(0x55));
        }
      }
      return opened.ok ? ok({ kvKept: false }) : opened;
    };
    const requests = [0, 30].map((numCommon) => ask({ promptTokens: branch(numCommon), maxTokens: 40 }));
    const answers = Promise.all(requests.map((request) => collect(engine, request)));
    for (const numGenerated of [3, 30, 50]) {
      await pollStats(engine, (stats) => stats.numGeneratedTokensTotal >= numGenerated);
      ring.close('lost by the test');
    }
    for (const [i, events] of (await answers).entries()) {
      expect(answerOf(events)).toEqual(await answerCold(requests[i] as GenerateRequest));
    }
    expect((await engine.stats()).numRestoredPagesTotal).toBeGreaterThan(0);
  });
});
