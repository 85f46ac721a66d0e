/** Drafts change no bit of an answer: tokens and log-probabilities are those of an engine that does not speculate. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GenerateRequest, SamplingParams } from '../engine/protocol.ts';
import { decodeFrame } from '../link/decode-frame.ts';
import type { LocalEngineOptions } from '../platform/local/local-engine.ts';
import { systemClock } from '../platform/system.ts';
import { GREEDY } from '../sampling/greedy.ts';
import { collectAnswer, pollStats, promptOf, requestOf, tinyRings, tokensOf } from './tiny-ring.ts';

const rings = await tinyRings();
const NO_DRAFTS = { draftStepTokensMax: 1 };
/**
 * Longer drafts than the default, verified in several calls of the LM head. By a clock that stands still no step takes any
 * time, so what is drafted does not depend on the machine.
 */
const LONG_DRAFTS = {
  limits: { draftStepTokensMax: 12, reopenDelayMs: 1 },
  numLogitRowsMax: 3,
  numTokensMax: 32,
  clock: { ...systemClock, nowMs: () => 0 },
};

const plain = await rings.open({ limits: NO_DRAFTS });

/** A phrase over and over, after a few other tokens: whatever comes next has probably stood there before. */
function repetitive(phraseLength: number, numTokens: number, salt: number): number[] {
  const phrase = promptOf(phraseLength, salt);
  return [...promptOf(5, salt + 7), ...Array.from({ length: numTokens }, (_, i) => phrase[i % phraseLength] as number)];
}

const samplings: fc.Arbitrary<SamplingParams> = fc.record({
  temperature: fc.constantFrom(0, 0.05, 0.3, 1),
  topK: fc.constantFrom(0, 2, 20),
  topP: fc.constantFrom(1, 0.9),
  minP: fc.constantFrom(0, 0.1),
  repetitionPenalty: fc.constantFrom(1, 1.2, 0.5),
  presencePenalty: fc.constantFrom(0, 0.5, -1),
  frequencyPenalty: fc.constantFrom(0, 0.3, -0.5),
  logitBias: fc.constantFrom([], [[9, 2] as const, [40, -3] as const]),
  seed: fc.nat(),
});

const requests: fc.Arbitrary<GenerateRequest> = fc
  .record({
    phraseLength: fc.integer({ min: 1, max: 9 }),
    numTokens: fc.integer({ min: 1, max: 60 }),
    salt: fc.nat({ max: 50 }),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    sampling: samplings,
    stopTokenIds: fc.array(fc.integer({ min: 3, max: 250 }), { maxLength: 6 }),
    numTopLogprobs: fc.constantFrom(null, 0, 3),
    numPromptLogprobs: fc.constantFrom(null, 1),
  })
  .map(({ phraseLength, numTokens, salt, ...rest }) =>
    requestOf({ promptTokens: repetitive(phraseLength, numTokens, salt), ...rest }),
  );

/** Loops: a random model that is given a frequency bonus says the same again and again. */
const LOOPING = requestOf({
  promptTokens: repetitive(4, 24, 1),
  maxTokens: 48,
  sampling: { ...GREEDY, frequencyPenalty: -0.5 },
  numTopLogprobs: 3,
});
const looped = await collectAnswer(plain.engine, LOOPING);

async function expectSame(options: Partial<LocalEngineOptions>, request = LOOPING, expected = looped): Promise<void> {
  const { engine } = await rings.open({ ...LONG_DRAFTS, ...options });
  expect(await collectAnswer(engine, request)).toEqual(expected);
  const stats = await engine.stats();
  expect(stats.numAcceptedDraftTokensTotal).toBeGreaterThan(0);
  expect(stats).toMatchObject({ numRunning: 0, numWaiting: 0, numFreePages: stats.numPages });
}

describe('an answer with drafts', () => {
  it('is the one without, whatever was asked', async () => {
    const drafting = await rings.open(LONG_DRAFTS);
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        expect(await collectAnswer(drafting.engine, request)).toEqual(await collectAnswer(plain.engine, request));
      }),
      { numRuns: 60 },
    );
    const { numDraftTokensTotal, numAcceptedDraftTokensTotal } = await drafting.engine.stats();
    expect(numAcceptedDraftTokensTotal).toBeGreaterThan(0);
    expect(numDraftTokensTotal).toBeGreaterThan(numAcceptedDraftTokensTotal);
  });

  it('takes fewer steps', async () => {
    const { engine } = await rings.open(LONG_DRAFTS);
    expect(await collectAnswer(engine, LOOPING)).toEqual(looped);
    const stats = await engine.stats();
    expect(stats.numGeneratedTokensTotal).toBe(48);
    expect(stats.numStepsTotal).toBeLessThanOrEqual(40);
    expect(stats.numStepsTotal + stats.numAcceptedDraftTokensTotal).toBe(48);
  });

  it('has no drafts when they are turned off', async () => {
    const { engine } = await rings.open({ limits: NO_DRAFTS });
    await collectAnswer(engine, LOOPING);
    expect(await engine.stats()).toMatchObject({ numDraftTokensTotal: 0, numStepsTotal: 48 });
  });

  it.each([2, 3])('goes round %i stages', (stageCount) => expectSame({ stageCount }));

  it('shares its steps with others', async () => {
    const { engine } = await rings.open({ ...LONG_DRAFTS, stageCount: 2 });
    const all = [1, 2, 3, 4].map((seed) => ({ ...LOOPING, sampling: { ...LOOPING.sampling, temperature: 0.2, seed } }));
    const expected = await Promise.all(all.map((request) => collectAnswer(plain.engine, request)));
    expect(await Promise.all(all.map((request) => collectAnswer(engine, request)))).toEqual(expected);
    expect((await engine.stats()).numAcceptedDraftTokensTotal).toBeGreaterThan(0);
  });

  it('ends before a stop token in the middle of a draft', async () => {
    for (const stopTokenId of new Set(tokensOf(looped))) {
      const request = { ...LOOPING, stopTokenIds: [stopTokenId] };
      const { engine } = await rings.open(LONG_DRAFTS);
      expect(await collectAnswer(engine, request)).toEqual(await collectAnswer(plain.engine, request));
    }
  });

  it('ends at its last token and at the end of the context', async () => {
    const { engine } = await rings.open({ ...LONG_DRAFTS, contextLengthMax: 64 });
    for (let maxTokens = 20; maxTokens < 48; maxTokens++) {
      const answer = await collectAnswer(engine, { ...LOOPING, maxTokens });
      const numTokens = Math.min(maxTokens, 64 + 1 - LOOPING.promptTokens.length);
      expect(answer).toEqual([...looped.slice(0, numTokens), { ...looped.at(-1), completionTokens: numTokens }]);
    }
  });
});

describe('drafts under trouble', () => {
  it('that takes their pages', async () => {
    const all = [1, 2, 3].map((salt) => ({ ...LOOPING, promptTokens: repetitive(4, 24, salt) }));
    const expected = await Promise.all(all.map((request) => collectAnswer(plain.engine, request)));
    const { engine } = await rings.open({ ...LONG_DRAFTS, stageCount: 2, contextLengthMax: 80, numPages: 6 });
    expect(await Promise.all(all.map((request) => collectAnswer(engine, request)))).toEqual(expected);
    const stats = await engine.stats();
    expect(stats.numPreemptionsTotal).toBeGreaterThan(0);
    expect(stats).toMatchObject({ numFreePages: 6 });
    expect(stats.numAcceptedDraftTokensTotal).toBeGreaterThan(0);
  });

  it.each([3, 8, 12, 15])('of a ring that breaks at frame %i', async (target) => {
    let numSent = 0;
    const wrapLink: NonNullable<LocalEngineOptions['wrapLink']> = (link) => ({
      attach: (handlers) => link.attach(handlers),
      close: (reason) => link.close(reason),
      send: (bytes) => {
        const isStep = decodeFrame(bytes).kind === 'step';
        if (isStep && numSent++ === target) {
          link.close('cut by the test');
        } else {
          link.send(bytes);
        }
      },
    });
    await expectSame({ stageCount: 2, wrapLink });
    expect(numSent).toBeGreaterThan(target);
  });

  it('of a reader that pauses', () => expectSame({ limits: { ...LONG_DRAFTS.limits, eventBytesMax: 300 } }));

  it('of a client that leaves', async () => {
    const { engine } = await rings.open(LONG_DRAFTS);
    const stream = await engine.generate({ ...LOOPING, maxTokens: 400 });
    await pollStats(engine, (stats) => stats.numAcceptedDraftTokensTotal > 0);
    await stream.cancel();
    const stats = await engine.stats();
    expect(stats).toMatchObject({ numRunning: 0, numFreePages: stats.numPages });
    expect(await collectAnswer(engine, LOOPING)).toEqual(looped);
  });

  it('of a stream that was cut and goes on', async () => {
    const tokens = tokensOf(looped);
    const { engine } = await rings.open(LONG_DRAFTS);
    for (let numEmitted = 0; numEmitted <= tokens.length; numEmitted += 5) {
      const resumed = await collectAnswer(engine, { ...LOOPING, emittedTokens: tokens.slice(0, numEmitted) });
      expect(resumed).toEqual(looped.slice(numEmitted));
    }
  });
});
