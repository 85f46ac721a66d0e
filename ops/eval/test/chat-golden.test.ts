/** Chats against llama.cpp (prompt tokens, greedy answers) and against the float32 reference (distributions). */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createLocalEngine, type LocalEngine } from '../../../shards/platform/local/local-engine.ts';
import { assert } from '../../../wasm/host/assert.ts';
import type { StageRuntime } from '../../../wasm/host/stage-runtime.ts';
import { readEvents } from '../../../shards/client/event-stream.ts';
import type { TextModel } from '../../../worker/tokenizer/text-model.ts';
import { fileAssets } from '../../testing/file-assets.ts';
import { compareWithGolden } from '../compare-golden.ts';
import { type GoldenDistribution, unpackDistributions } from '../compact.ts';
import { loadWholeModel } from '../engine-logits.ts';
import { type GoldenChat, type GoldenChatReference, type GoldenChats, readGolden } from '../golden.ts';
import { QualityTally } from '../metrics.ts';
import { readTextModel } from '../prepare.ts';
import { prepareDefaultModel } from './default-model.ts';
import { GREEDY } from '../../../shards/sampling/greedy.ts';

/** The longest prompt and answer together, with room. */
const WINDOW_TOKENS_MAX = 256;
const STAGE_COUNT = 2;
/** Tokens of an answer that must be equal. */
const COMPARED_TOKENS = 16;
const EQUAL_ANSWERS_MIN = 15;
/** Two candidates closer than this, in nats, may swap places by the rounding of int8 activations. */
const NEAR_TIE_NATS = 0.15;

let chats: GoldenChats;
let reference: GoldenChatReference;
let text: TextModel;
let runtime: StageRuntime;
let local: LocalEngine;

/** Seconds on an idle core; many times that when other work shares it. */
vi.setConfig({ testTimeout: 300_000 });

beforeAll(async () => {
  chats = await readGolden('chat-greedy.json');
  reference = await readGolden('chat-reference.json');
  const model = await prepareDefaultModel(chats.modelSha256);
  text = await readTextModel(model.convertedFolder);
  runtime = await loadWholeModel(model.convertedFolder, model.kernels, WINDOW_TOKENS_MAX);
  local = await createLocalEngine({
    assets: fileAssets(model.convertedFolder),
    kernels: model.kernels,
    stageCount: STAGE_COUNT,
    contextLengthMax: WINDOW_TOKENS_MAX,
  });
});

afterAll(() => local.ring.close('the tests are over'));

/** The engine's greedy answer. Stop tokens do not end it here: where llama.cpp's answer ends, the same one must come. */
async function greedyAnswer({ name, promptTokens, answerTokens }: GoldenChat): Promise<number[]> {
  const stream = await local.engine.generate({
    requestId: name,
    promptTokens,
    emittedTokens: [],
    maxTokens: Math.min(COMPARED_TOKENS, answerTokens.length),
    sampling: GREEDY,
    stopTokenIds: [],
    numTopLogprobs: null,
    numPromptLogprobs: null,
    cacheSalt: '',
  });
  const tokens: number[] = [];
  for await (const event of readEvents(stream, new AbortController().signal)) {
    assert(event.type !== 'error', `${name}: ${event.type === 'error' ? event.message : ''}`);
    if (event.type === 'token') {
      tokens.push(event.tokenId);
    }
  }
  return tokens;
}

/** Step at which two answers part, or null. */
function firstDifference(ours: readonly number[], theirs: readonly number[]): number | null {
  const length = Math.min(COMPARED_TOKENS, theirs.length);
  const steps = Array.from({ length }, (_, step) => step);
  return steps.find((step) => ours[step] !== theirs[step]) ?? null;
}

/** Whether llama.cpp or the reference holds `ourToken` for nearly as likely as the token that it prefers. */
function isNearTie(
  ourToken: number | undefined,
  llamaTop: GoldenChat['top'][number] | undefined,
  expected: GoldenDistribution | undefined,
): boolean {
  const [llamaBest, ...llamaOthers] = llamaTop ?? [];
  const llamaOurs = llamaOthers.find(([tokenId]) => tokenId === ourToken);
  const isNear = (best: number | undefined, other: number | undefined): boolean =>
    best !== undefined && other !== undefined && best - other < NEAR_TIE_NATS;
  const rank = expected?.topIds.findIndex((tokenId) => tokenId === ourToken) ?? -1;
  return isNear(llamaBest?.[1], llamaOurs?.[1]) || isNear(expected?.topLogProbs[0], expected?.topLogProbs[rank]);
}

describe('golden chats', () => {
  it('renders and tokenises every conversation as llama.cpp does', () => {
    expect(chats.cases).toHaveLength(20);
    for (const chat of chats.cases) {
      expect({ name: chat.name, ...text.encodeChat(chat.messages, text.config.contextLengthMax) }).toEqual({
        name: chat.name,
        ok: true,
        tokens: chat.promptTokens,
      });
    }
  });

  it(`answers greedily with the first ${COMPARED_TOKENS} tokens of llama.cpp, or parts from it at a near-tie`, async () => {
    const differing: string[] = [];
    const notTies: string[] = [];
    // All at once, as a ring serves them: what else is in a micro-batch changes no answer.
    const answers = await Promise.all(chats.cases.map(greedyAnswer));
    for (const [index, chat] of chats.cases.entries()) {
      const ours = answers[index] ?? [];
      const step = firstDifference(ours, chat.answerTokens);
      if (step === null) {
        continue;
      }
      differing.push(chat.name);
      const compact = reference.cases[index];
      const expected = compact && unpackDistributions(compact, reference.topK)[step];
      if (!isNearTie(ours[step], chat.top[step], expected)) {
        notTies.push(`${chat.name}: token ${ours[step]} for ${chat.answerTokens[step]} at step ${step}`);
      }
    }
    expect(notTies).toEqual([]);
    expect(differing.length, `different: ${differing.join(', ')}`).toBeLessThanOrEqual(
      chats.cases.length - EQUAL_ANSWERS_MIN,
    );
  });

  it('is as close to the reference along those answers as on other text', () => {
    const tally = new QualityTally();
    for (const [index, chat] of chats.cases.entries()) {
      const compact = reference.cases[index];
      expect(compact?.name).toBe(chat.name);
      const golden = compact === undefined ? [] : unpackDistributions(compact, reference.topK);
      const tokens = [...chat.promptTokens, ...chat.answerTokens];
      compareWithGolden(runtime, tokens, chat.promptTokens.length, golden, tally);
    }
    const quality = tally.quality();
    expect(quality.numPredictions).toBe(chats.cases.reduce((sum, chat) => sum + chat.answerTokens.length, 0));
    expect(quality.klDivergence).toBeLessThan(0.006);
    expect(quality.top1Agreement).toBeGreaterThan(0.95);
    expect(quality.perplexity / quality.referencePerplexity).toBeLessThan(1.01);
  });
});
