/**
 * Speed of engines without a server around them: prefill by the length of the prompt, decode by the length of the
 * context. Each round starts every engine in a fresh process, in turn.
 */
import { type BenchSample, turnOrder } from '../samples.ts';
import type { Prompt, Subject, SubjectFactory } from './subject.ts';

export interface EngineBenchOptions {
  readonly subjects: readonly SubjectFactory[];
  readonly rounds: number;
  /** Prompt lengths whose prefill is measured. */
  readonly prefillTokens: readonly number[];
  /** Prompt lengths after which decode is measured. */
  readonly contexts: readonly number[];
  readonly decodeTokens: number;
  /** A scenario that would take an engine longer, by the rate that it has just shown, is left out for that engine. */
  readonly scenarioSecondsMax: number;
  readonly makePrompt: (numTokens: number, seed: number) => Prompt;
  readonly onScenario: (done: number, total: number, note: string) => void;
}

/** Enough for an optimising compiler to replace the baseline code. */
const WARM_UP = { promptTokens: 64, decodeTokens: 16 };
/** A prefill ends with the first token. */
const PREFILL_DECODE_TOKENS = 1;

interface Scenario {
  readonly promptTokens: number;
  readonly isPrefill: boolean;
  readonly isDecode: boolean;
}

/** Every prompt length once, the shortest first, so that slow engines are found out early. */
function scenarios(options: EngineBenchOptions): Scenario[] {
  const lengths = [...new Set([...options.prefillTokens, ...options.contexts])].toSorted((a, b) => a - b);
  return lengths.map((promptTokens) => ({
    promptTokens,
    isPrefill: options.prefillTokens.includes(promptTokens),
    isDecode: options.contexts.includes(promptTokens),
  }));
}

async function measureSubject(
  subject: Subject,
  round: number,
  options: EngineBenchOptions,
  nextSeed: () => number,
): Promise<BenchSample[]> {
  const samples: BenchSample[] = [];
  const add = (scenario: string, value: number): void => {
    samples.push({ target: subject.name, round, scenario, value, unit: 'tok/s' });
  };
  const warm = await subject.complete(options.makePrompt(WARM_UP.promptTokens, nextSeed()), WARM_UP.decodeTokens);
  let msPerToken = warm.promptMs / warm.promptTokens;
  for (const { promptTokens, isPrefill, isDecode } of scenarios(options)) {
    if ((promptTokens * msPerToken) / 1000 > options.scenarioSecondsMax) {
      continue;
    }
    const prompt = options.makePrompt(promptTokens, nextSeed());
    const timing = await subject.complete(prompt, isDecode ? options.decodeTokens : PREFILL_DECODE_TOKENS);
    msPerToken = timing.promptMs / timing.promptTokens;
    if (isPrefill) {
      add(`prefill, ${promptTokens} tokens`, 1000 / msPerToken);
    }
    if (isDecode) {
      add(`decode at context ${promptTokens}`, (timing.decodedTokens * 1000) / timing.decodeMs);
    }
  }
  return samples;
}

/** Prefill scenarios first in the report, whatever the order of measuring. */
export function inReportOrder(samples: readonly BenchSample[]): BenchSample[] {
  const isDecode = (sample: BenchSample): boolean => sample.scenario.startsWith('decode');
  return [...samples.filter((sample) => !isDecode(sample)), ...samples.filter(isDecode)];
}

export async function benchEngine(options: EngineBenchOptions): Promise<BenchSample[]> {
  let seed = 1;
  const nextSeed = (): number => seed++;
  const samples: BenchSample[] = [];
  const total = options.rounds * options.subjects.length;
  let done = 0;
  for (let round = 0; round < options.rounds; round++) {
    for (const factory of turnOrder(options.subjects, round)) {
      options.onScenario(done, total, factory.name);
      const subject = await factory.start();
      try {
        samples.push(...(await measureSubject(subject, round, options, nextSeed)));
      } finally {
        await subject.stop();
      }
      done += 1;
      options.onScenario(done, total, factory.name);
    }
  }
  return inReportOrder(samples);
}
