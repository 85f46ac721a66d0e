import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTextModel } from '../../eval/prepare.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { convertTinyModel } from '../../testing/tiny-model.ts';
import { benchEngine, type EngineBenchOptions } from '../engine/bench-engine.ts';
import { laminaSubject } from '../engine/lamina-subject.ts';
import { exactPrompt } from '../engine/prompts.ts';
import type { Prompt, SubjectFactory } from '../engine/subject.ts';

const prompt = (numTokens: number): Prompt => ({ tokens: Array.from({ length: numTokens }, () => 1), text: '' });

/** Takes `msPerToken` for each token of a prompt and 2 ms for each further one. */
function fakeSubject(name: string, msPerToken: number, log: string[]): SubjectFactory {
  return {
    name,
    start: async () => {
      log.push(`start ${name}`);
      return {
        name,
        complete: async ({ tokens }, maxTokens) => {
          log.push(`${name} ${tokens.length}+${maxTokens}`);
          return {
            promptTokens: tokens.length,
            promptMs: tokens.length * msPerToken,
            decodedTokens: maxTokens - 1,
            decodeMs: 2 * (maxTokens - 1),
          };
        },
        stop: async () => void log.push(`stop ${name}`),
      };
    },
  };
}

const OPTIONS: Omit<EngineBenchOptions, 'subjects'> = {
  rounds: 2,
  prefillTokens: [100, 400],
  contexts: [100, 200],
  decodeTokens: 5,
  scenarioSecondsMax: 2,
  makePrompt: prompt,
  onScenario: () => undefined,
};

describe('benchEngine', () => {
  it('starts a fresh process for each turn and measures each prompt once', async () => {
    const log: string[] = [];
    const samples = await benchEngine({
      ...OPTIONS,
      subjects: [fakeSubject('a', 1, log), fakeSubject('b', 5, log)],
    });
    expect(log.filter((line) => line.startsWith('st'))).toEqual(
      ['a', 'b', 'b', 'a'].flatMap((name) => [`start ${name}`, `stop ${name}`]),
    );
    expect(log.slice(1, 5)).toEqual(['a 64+16', 'a 100+5', 'a 200+5', 'a 400+1']);
    expect(samples.filter(({ target, round }) => target === 'a' && round === 0)).toEqual([
      { target: 'a', round: 0, scenario: 'prefill, 100 tokens', value: 1000, unit: 'tok/s' },
      { target: 'a', round: 0, scenario: 'prefill, 400 tokens', value: 1000, unit: 'tok/s' },
      { target: 'a', round: 0, scenario: 'decode at context 100', value: 500, unit: 'tok/s' },
      { target: 'a', round: 0, scenario: 'decode at context 200', value: 500, unit: 'tok/s' },
    ]);
  });

  it('leaves out what would take an engine longer than allowed, and nothing at the limit', async () => {
    const log: string[] = [];
    await benchEngine({ ...OPTIONS, rounds: 1, subjects: [fakeSubject('slow', 5, log)] });
    expect(log).toContain('slow 400+1');
    const slower: string[] = [];
    await benchEngine({ ...OPTIONS, rounds: 1, subjects: [fakeSubject('slow', 5.01, slower)] });
    expect(slower).not.toContain('slow 400+1');
    expect(slower).toContain('slow 200+5');
  });

  it('ends the process of an engine that fails', async () => {
    const log: string[] = [];
    const failing = fakeSubject('bad', 1, log);
    const subject: SubjectFactory = {
      name: 'bad',
      start: async () => ({ ...(await failing.start()), complete: () => Promise.reject(new Error('broken')) }),
    };
    await expect(benchEngine({ ...OPTIONS, subjects: [subject] })).rejects.toThrow('broken');
    expect(log).toEqual(['start bad', 'stop bad']);
  });
});

describe('our engine as a subject', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lamina-bench-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('counts the tokens that were asked for, in a process of its own', async () => {
    const modelDir = await convertTinyModel(folder);
    const { tokenizer } = await readTextModel(modelDir);
    const factory = laminaSubject({
      name: 'lamina',
      tree: PROJECT_ROOT,
      convertedFolder: modelDir,
      contextTokens: 200,
    });
    const subject = await factory.start();
    try {
      const timing = await subject.complete(exactPrompt(tokenizer, 100, 1), 8);
      expect(timing).toMatchObject({ promptTokens: 100, decodedTokens: 7 });
      expect(Math.min(timing.promptMs, timing.decodeMs)).toBeGreaterThan(0);
      await expect(subject.complete(exactPrompt(tokenizer, 300, 2), 8)).rejects.toThrow('prompt_too_long');
    } finally {
      await subject.stop();
    }
  });
});
