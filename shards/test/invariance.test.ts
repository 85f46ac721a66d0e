/**
 * What must not change a single bit of an answer: the number of stages, the size of the prefill chunks, the company in a
 * micro-batch, a cut and a resumption.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileAssets } from '../../ops/testing/file-assets.ts';
import { homeLayout, resolveHome } from '../../ops/support/home.ts';
import { MANIFEST_FILE } from '../model/runtime-host.ts';
import { collectAnswer, promptOf, requestOf, tinyRings, tokensOf } from './tiny-ring.ts';
import { GREEDY } from '../sampling/greedy.ts';

const rings = await tinyRings();

/** Longer than three pages, not a multiple of a page or a chunk. */
const PROMPT = promptOf(75);
const SAMPLED = { ...GREEDY, temperature: 0.9, topP: 0.95, repetitionPenalty: 1.1, presencePenalty: 0.2, seed: 99 };
const REQUEST = requestOf({
  promptTokens: PROMPT,
  maxTokens: 20,
  sampling: SAMPLED,
  numTopLogprobs: 5,
  numPromptLogprobs: 5,
});

const reference = await collectAnswer((await rings.open({ numTokensMax: 128 })).engine, REQUEST);

it('the reference says something', () => {
  const tokens = tokensOf(reference);
  expect(tokens).toHaveLength(20);
  expect(new Set(tokens).size).toBeGreaterThan(5);
  expect(reference[0]).toMatchObject({ type: 'prompt' });
});

describe('split and chunk invariance', () => {
  const splits = [1, 2, 3, 5].flatMap((stageCount) => [1, 7, 64, 128].map((chunk) => [stageCount, chunk] as const));

  it.each(splits)('%i stages, %i tokens a step', async (stageCount, numTokensMax) => {
    const { engine } = await rings.open({ stageCount, numTokensMax });
    expect(await collectAnswer(engine, REQUEST)).toEqual(reference);
  });

  it('any number of rows a call of the LM head', async () => {
    for (const numLogitRowsMax of [1, 3, 64]) {
      const { engine } = await rings.open({ numLogitRowsMax });
      expect(await collectAnswer(engine, REQUEST)).toEqual(reference);
    }
  });
});

describe('invariance of the number of steps in flight', () => {
  const requests = [1, 2, 3, 4, 5].map((salt) =>
    requestOf({
      promptTokens: promptOf(20 + 8 * salt, salt),
      maxTokens: 40,
      sampling: { ...SAMPLED, seed: salt },
      numTopLogprobs: 3,
      numPromptLogprobs: salt % 2 === 0 ? 1 : null,
    }),
  );

  it.each([
    [2, 2],
    [3, 2],
    [3, 3],
    [2, 8],
  ])('%i stages, %i steps', async (stageCount, stepsInFlightMax) => {
    const oneByOne = await rings.open();
    const options = { stageCount, stepsInFlightMax, numTokensMax: 32 };
    const together = await rings.open(options);
    // Too few pages for all: sequences are preempted while steps with their pages are in flight.
    const tight = await rings.open({ ...options, contextLengthMax: 112, numPages: 12 });
    const answers = await Promise.all(requests.map((request) => collectAnswer(together.engine, request)));
    const tightAnswers = await Promise.all(requests.map((request) => collectAnswer(tight.engine, request)));
    for (const [i, request] of requests.entries()) {
      const expected = await collectAnswer(oneByOne.engine, request);
      expect(answers[i]).toEqual(expected);
      expect(tightAnswers[i]).toEqual(expected);
    }
    const stats = await tight.engine.stats();
    expect(stats.numPreemptionsTotal).toBeGreaterThan(0);
    expect(stats).toMatchObject({ numRunning: 0, numWaiting: 0, numFreePages: stats.numPages });
  });
});

describe('batch invariance', () => {
  it.each([1, 3])('in the company of others (%i stages)', async (stageCount) => {
    const { engine } = await rings.open({ stageCount, numTokensMax: 48 });
    const others = [1, 2, 3, 4, 5, 6].map((salt) =>
      requestOf({
        promptTokens: promptOf(5 + 17 * salt, salt),
        maxTokens: 8 * salt,
        sampling: { ...SAMPLED, seed: salt },
        numPromptLogprobs: salt % 2 === 0 ? 1 : null,
      }),
    );
    const answers = await Promise.all(
      [...others.slice(0, 3), REQUEST, ...others.slice(3)].map((r) => collectAnswer(engine, r)),
    );
    expect(answers[3]).toEqual(reference);
    const alone = await rings.open();
    expect(answers[6]).toEqual(await collectAnswer(alone.engine, others[5] as (typeof others)[number]));
  });
});

describe('resume invariance', () => {
  it('a stream that was cut after any token goes on as if it had not been', async () => {
    const { engine } = await rings.open({ stageCount: 2, numTokensMax: 32 });
    const tokenEvents = reference.filter(({ type }) => type === 'token');
    const tokens = tokensOf(reference);
    for (let numEmitted = 0; numEmitted <= tokens.length; numEmitted++) {
      const emittedTokens = tokens.slice(0, numEmitted);
      const resumed = await collectAnswer(engine, { ...REQUEST, emittedTokens, numPromptLogprobs: null });
      expect(resumed).toEqual([...tokenEvents.slice(numEmitted), reference.at(-1)]);
    }
  });
});

const DEFAULT_MODEL = 'smollm2-135m-instruct';

/** The default model's folder, once `lamina setup` or `lamina dev` has converted it. */
function findDefaultModel(): string | null {
  const { converted } = homeLayout(resolveHome(undefined, process.env));
  const names = existsSync(converted) ? readdirSync(converted) : [];
  const name = names.find((candidate) => candidate.startsWith(`${DEFAULT_MODEL}-`));
  const folder = path.join(converted, name ?? DEFAULT_MODEL);
  return existsSync(path.join(folder, MANIFEST_FILE)) ? folder : null;
}

const defaultModel = findDefaultModel();

describe.skipIf(defaultModel === null)(
  `the default model${defaultModel === null ? ' (skipped: not converted, run `lamina setup`)' : ''}`,
  () => {
    it('gives the same bits with 1, 2, 3 and 5 stages', async () => {
      const assets = fileAssets(defaultModel ?? '');
      const request = requestOf({
        promptTokens: Array.from({ length: 40 }, (_, i) => 500 + i * 97),
        maxTokens: 6,
        numTopLogprobs: 5,
        numPromptLogprobs: 5,
      });
      const answers = [];
      for (const [stageCount, numTokensMax] of [
        [1, 64],
        [2, 7],
        [3, 64],
        [5, 16],
      ] as const) {
        const { engine, ring } = await rings.open({ assets, stageCount, numTokensMax, contextLengthMax: 256 });
        answers.push(await collectAnswer(engine, request));
        ring.close('the next split is due');
      }
      expect(tokensOf(answers[0] ?? [])).toHaveLength(6);
      for (const answer of answers) {
        expect(answer).toEqual(answers[0]);
      }
    });
  },
);
