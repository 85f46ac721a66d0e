import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { PagePool } from '../../kv/page-pool.ts';
import { requestOf } from '../../test/tiny-ring.ts';
import { addDrafts, type DraftLimits } from '../add-drafts.ts';
import type { ScheduledSequence } from '../scheduler.ts';
import { Sequence } from '../sequence.ts';

const LIMITS: DraftLimits = { draftStepTokensMax: 9, sequenceTokensMax: 1000 };
const pool = new PagePool(8);

/** A sequence whose tokens are all the same, so that any number may be drafted, and a step that computes its last one. */
function decoding(numTokens: number, maxTokens = 100): ScheduledSequence {
  const promptTokens = Array.from({ length: numTokens - 1 }, () => 5);
  const sequence = new Sequence(1, requestOf({ promptTokens, emittedTokens: [5], maxTokens }), pool);
  expect(sequence.pageTable.cover(numTokens)).toBe(true);
  return { sequence, startPosition: numTokens - 1, numTokens: 1, numRewinds: 0, draft: null };
}

function draftLengths(scheduled: readonly ScheduledSequence[], limits: Partial<DraftLimits> = {}): number[] {
  const withDrafts = addDrafts(scheduled, { ...LIMITS, ...limits }, () => 1);
  for (const { sequence, startPosition, numTokens, draft } of withDrafts) {
    expect(numTokens).toBe(sequence.tokens.length - startPosition + (draft?.tokens.length ?? 0));
    expect(sequence.pageTable.numPagesMissing(startPosition + numTokens)).toBe(0);
  }
  scheduled.forEach(({ sequence }) => sequence.pageTable.release());
  return withDrafts.map(({ draft }) => draft?.tokens.length ?? 0);
}

describe('addDrafts', () => {
  it('fills a step up to the limit, in equal parts', () => {
    expect(draftLengths([decoding(20)])).toEqual([8]);
    expect(draftLengths([decoding(20), decoding(20)])).toEqual([3, 4]);
    expect(draftLengths([decoding(20), decoding(20)], { draftStepTokensMax: 3 })).toEqual([0, 1]);
    expect(draftLengths([decoding(20), decoding(20)], { draftStepTokensMax: 2 })).toEqual([0, 0]);
    expect(draftLengths([decoding(20)], { draftStepTokensMax: 1 })).toEqual([0]);
  });

  it('leaves prompts alone', () => {
    const last = decoding(20);
    const chunk = { ...last, startPosition: 14, numTokens: 6 };
    expect(draftLengths([chunk])).toEqual([0]);
    const prompt = new Sequence(2, requestOf({ promptTokens: [5, 5, 5, 5, 5, 5] }), pool);
    expect(prompt.pageTable.cover(6)).toBe(true);
    expect(draftLengths([{ ...last, sequence: prompt, startPosition: 5 }])).toEqual([0]);
  });

  it('ends one token before the output does, and with the context', () => {
    expect([1, 2, 3, 4, 99].map((maxTokens) => draftLengths([decoding(20, maxTokens)])[0])).toEqual([0, 0, 1, 2, 8]);
    const lengths = [20, 21, 23, 99].map((sequenceTokensMax) => draftLengths([decoding(20)], { sequenceTokensMax })[0]);
    expect(lengths).toEqual([0, 1, 3, 8]);
  });

  it('takes a page that is free, and does with what it has when there is none', () => {
    expect(draftLengths([decoding(PAGE_SIZE_TOKENS - 2)])).toEqual([8]);
    const nearEnd = decoding(PAGE_SIZE_TOKENS - 2);
    const full = decoding(PAGE_SIZE_TOKENS);
    const taken = pool.allocate(pool.numAvailablePages) ?? [];
    expect(draftLengths([nearEnd])).toEqual([2]);
    const others = pool.allocate(pool.numAvailablePages) ?? [];
    expect(draftLengths([full])).toEqual([0]);
    [...taken, ...others].forEach((page) => pool.release(page));
    expect(pool.numAvailablePages).toBe(pool.numPages);
  });
});
