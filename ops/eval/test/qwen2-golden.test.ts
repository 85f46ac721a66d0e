/**
 * A `qwen2` model (attention biases, half-style RoPE, untied head) against llama.cpp and the float32 reference. The file
 * is made here, byte for byte the one that the oracles were given, and goes through the converter.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import type { StageRuntime } from '../../../wasm/host/stage-runtime.ts';
import { convertModel } from '../../convert/convert-model.ts';
import { sha256OfFile } from '../../support/files.ts';
import { type CompactTops, unpackTop } from '../compact.ts';
import { forEachLogitRow, loadWholeModel } from '../engine-logits.ts';
import { type GoldenTiny, type GoldenTinyCase, readGolden } from '../golden.ts';
import { argmax, logSumExp } from '../metrics.ts';
import { writeTinyQwen2 } from '../tiny-qwen2.ts';

const WINDOW_TOKENS_MAX = 96;

/**
 * llama.cpp quantises activations to int8 as we do, so its distance from the reference is the measure. Ours has int8 keys
 * and values on top, which cost a quarter of what the activations do; half as much again leaves room for chance.
 */
const REFERENCE_RMS_RATIO_MAX = 1.5;
/** Two independent roundings of that size lie between llama.cpp and us: the root of 1 + 1.5². */
const LLAMA_RMS_RATIO_MAX = Math.sqrt(1 + REFERENCE_RMS_RATIO_MAX ** 2);
/** A difference of two log-probabilities, each with both roundings, is off by 2 · rms; tokens nearer than three times that may swap. */
const SWAP_RMS_MAX = 6;
const EQUAL_TOKENS_MIN = 0.9;

let golden: GoldenTiny;
let folder: string;
let sha256: string;
let runtime: StageRuntime;

beforeAll(async () => {
  golden = await readGolden('tiny-qwen2.json');
  folder = await mkdtemp(path.join(os.tmpdir(), 'lamina-qwen2-'));
  const source = path.join(folder, 'tiny.gguf');
  await writeTinyQwen2(source);
  sha256 = await sha256OfFile(source);
  const outDir = path.join(folder, 'converted');
  await convertModel({ source, outDir, modelName: 'tiny-qwen2' });
  runtime = await loadWholeModel(outDir, await loadKernels(), WINDOW_TOKENS_MAX);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Our log-probabilities of every token, for each token of the answer. */
function answerLogProbs({ promptTokens, answerTokens }: GoldenTinyCase): Float64Array[] {
  const rows: Float64Array[] = [];
  forEachLogitRow(runtime, [...promptTokens, ...answerTokens.slice(0, -1)], (position, logits) => {
    if (position >= promptTokens.length - 1) {
      const normaliser = logSumExp(logits);
      rows.push(Float64Array.from(logits, (logit) => logit - normaliser));
    }
  });
  return rows;
}

/** Root mean square difference, in nats, over an oracle's likeliest tokens of every position of every case. */
function rmsDifference(topsOf: (goldenCase: GoldenTinyCase) => CompactTops): number {
  const squares = golden.cases.flatMap((goldenCase) =>
    answerLogProbs(goldenCase).flatMap((logProbs, position) => {
      const { topIds, topLogProbs } = unpackTop(topsOf(goldenCase), golden.topK, position);
      return topIds.map((id, rank) => ((logProbs[id] ?? Number.NaN) - (topLogProbs[rank] ?? Number.NaN)) ** 2);
    }),
  );
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
}

describe('golden qwen2', () => {
  it('is the file that the oracles were given; otherwise run oracle/make_golden_tiny.py again', () => {
    expect(sha256).toBe(golden.modelSha256);
  });

  it('has the log-probabilities of the reference, as closely as llama.cpp has', () => {
    const bound = REFERENCE_RMS_RATIO_MAX * golden.llamaRmsDifference;
    expect(rmsDifference(({ reference }) => reference)).toBeLessThan(bound);
  });

  it('has the log-probabilities of llama.cpp', () => {
    const bound = LLAMA_RMS_RATIO_MAX * golden.llamaRmsDifference;
    expect(rmsDifference(({ llama }) => llama)).toBeLessThan(bound);
  });

  it("chooses llama.cpp's tokens, or ones that llama.cpp holds for nearly as likely", () => {
    const swapNats = SWAP_RMS_MAX * golden.llamaRmsDifference;
    const wrong: string[] = [];
    let numEqual = 0;
    let numTokens = 0;
    for (const [index, goldenCase] of golden.cases.entries()) {
      for (const [position, logProbs] of answerLogProbs(goldenCase).entries()) {
        golden.bannedTokens.forEach((id) => (logProbs[id] = -Infinity));
        const ours = argmax(logProbs);
        const theirs = goldenCase.answerTokens[position];
        numTokens += 1;
        numEqual += ours === theirs ? 1 : 0;
        const { topIds, topLogProbs } = unpackTop(goldenCase.llama, golden.topK, position);
        const logProbOf = (id: number | undefined): number => topLogProbs[topIds.findIndex((top) => top === id)] ?? NaN;
        // Not a number when one of them is not among the likeliest, which is no near-tie.
        if (ours !== theirs && !(logProbOf(theirs) - logProbOf(ours) < swapNats)) {
          wrong.push(`case ${index}, position ${position}: ${ours} for ${theirs}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(numEqual / numTokens).toBeGreaterThanOrEqual(EQUAL_TOKENS_MIN);
  });
});
