/** Chats against llama.cpp (prompt tokens, greedy answers) and against the float32 reference (distributions). */
import { beforeAll, describe, expect, it } from 'vitest';
import type { StageRuntime } from '../../../wasm/host/stage-runtime.ts';
import type { TextModel } from '../../../worker/tokenizer/text-model.ts';
import { compareWithGolden } from '../compare-golden.ts';
import { type GoldenDistribution, unpackDistributions } from '../compact.ts';
import { greedyTokens, loadWholeModel } from '../engine-logits.ts';
import { type GoldenChat, type GoldenChatReference, type GoldenChats, readGolden } from '../golden.ts';
import { QualityTally } from '../metrics.ts';
import { readTextModel } from '../prepare.ts';
import { prepareDefaultModel } from './default-model.ts';

const WINDOW_TOKENS_MAX = 256;
/** Tokens of an answer that must be equal. */
const COMPARED_TOKENS = 16;
const EQUAL_ANSWERS_MIN = 15;
/** Two candidates closer than this, in nats, may swap places by the rounding of int8 activations. */
const NEAR_TIE_NATS = 0.15;

let chats: GoldenChats;
let reference: GoldenChatReference;
let text: TextModel;
let runtime: StageRuntime;

beforeAll(async () => {
  chats = await readGolden('chat-greedy.json');
  reference = await readGolden('chat-reference.json');
  const model = await prepareDefaultModel(chats.modelSha256);
  text = await readTextModel(model.convertedFolder);
  runtime = await loadWholeModel(model.convertedFolder, model.kernels, WINDOW_TOKENS_MAX);
});

/** Step at which two answers part, or null. An answer that ends early parts where it ends. */
function firstDifference(ours: readonly number[], theirs: readonly number[]): number | null {
  const length = Math.min(COMPARED_TOKENS, Math.max(ours.length, theirs.length));
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

  it(`answers greedily with the first ${COMPARED_TOKENS} tokens of llama.cpp, or parts from it at a near-tie`, () => {
    const differing: string[] = [];
    const notTies: string[] = [];
    for (const [index, chat] of chats.cases.entries()) {
      const ours = greedyTokens(runtime, chat.promptTokens, COMPARED_TOKENS, text.config.stopTokenIds);
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
