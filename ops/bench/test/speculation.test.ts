import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { promptOf } from '../../../shards/test/tiny-ring.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { fileAssets } from '../../testing/file-assets.ts';
import { convertTinyModel } from '../../testing/tiny-model.ts';
import { benchSpeculation } from '../speculation/bench-speculation.ts';
import { CHAT_PROMPTS, QUOTING_PROMPTS } from '../speculation/prompts.ts';
import { GREEDY } from '../../../shards/sampling/greedy.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'lamina-speculation-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('measures every set in every round, with both engines', async () => {
  let nowMs = 0;
  const done: number[] = [];
  const samples = await benchSpeculation({
    engine: { assets: fileAssets(await convertTinyModel(folder)), kernels: await loadKernels() },
    sets: ['a', 'b'].map((name) => ({ name, prompts: [promptOf(20), promptOf(9)], sampling: GREEDY })),
    stopTokenIds: [],
    rounds: 2,
    maxTokens: 6,
    // Each look at the clock takes a second, so each answer does.
    nowMs: () => (nowMs += 1000),
    onRound: (count) => done.push(count),
  });
  expect(done).toEqual([1, 2, 3, 4, 5, 6]);
  const rates = samples.filter(({ unit }) => unit === 'tok/s');
  expect(rates.map(({ round, scenario, target }) => `${round} ${scenario} ${target}`)).toEqual([
    '1 a drafts',
    '1 a no drafts',
    '1 b drafts',
    '1 b no drafts',
    '2 a drafts',
    '2 a no drafts',
    '2 b drafts',
    '2 b no drafts',
  ]);
  expect(samples).toHaveLength(rates.length + 4);
});

it('has twenty prompts that quote, all different', () => {
  expect(new Set(QUOTING_PROMPTS).size).toBe(20);
  expect(new Set(CHAT_PROMPTS).size).toBe(CHAT_PROMPTS.length);
});
