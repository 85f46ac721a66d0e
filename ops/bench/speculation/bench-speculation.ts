/**
 * What speculation is worth: the same prompts through two engines in this process, one that drafts and one that does not,
 * in turn for every prompt and in reversed order every other round. Both must say the same.
 */
import type { GenerateEvent, GenerateRequest, SamplingParams } from '../../../shards/engine/protocol.ts';
import {
  createLocalEngine,
  type LocalEngine,
  type LocalEngineOptions,
} from '../../../shards/platform/local/local-engine.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { type BenchSample, turnOrder } from '../samples.ts';

const WITH_DRAFTS = 'drafts';
const WITHOUT_DRAFTS = 'no drafts';
export const TARGETS = [WITH_DRAFTS, WITHOUT_DRAFTS] as const;

/** Prompts that are measured together. */
export interface PromptSet {
  readonly name: string;
  readonly prompts: readonly (readonly number[])[];
  readonly sampling: SamplingParams;
}

export interface SpeculationOptions {
  readonly engine: LocalEngineOptions;
  readonly sets: readonly PromptSet[];
  readonly stopTokenIds: readonly number[];
  readonly rounds: number;
  readonly maxTokens: number;
  readonly nowMs: () => number;
  readonly onRound: (done: number, total: number) => void;
}

interface Subject {
  readonly name: (typeof TARGETS)[number];
  readonly local: LocalEngine;
}

interface Answer {
  readonly tokens: readonly number[];
  /** From the first token to the end. */
  readonly decodeMs: number;
}

/** @throws OperatorError when the two engines do not say the same. */
export async function benchSpeculation(options: SpeculationOptions): Promise<BenchSample[]> {
  const subjects: Subject[] = [
    { name: WITH_DRAFTS, local: await createLocalEngine(options.engine) },
    { name: WITHOUT_DRAFTS, local: await createLocalEngine({ ...options.engine, limits: { draftStepTokensMax: 1 } }) },
  ];
  const numRounds = options.rounds + 1;
  const samples: BenchSample[] = [];
  try {
    // Round 0 warms up.
    for (let round = 0; round < numRounds; round++) {
      for (const [i, set] of options.sets.entries()) {
        const measured = await measureSet(set, subjects, round, options);
        samples.push(...(round === 0 ? [] : measured));
        options.onRound(round * options.sets.length + i + 1, numRounds * options.sets.length);
      }
    }
    return samples;
  } finally {
    subjects.forEach(({ local }) => local.ring.close('the bench is over'));
  }
}

/** Tokens after the first of all prompts over the time they took, and the part of draft tokens that were accepted. */
async function measureSet(
  set: PromptSet,
  subjects: readonly Subject[],
  round: number,
  options: SpeculationOptions,
): Promise<BenchSample[]> {
  const decodeMs = new Map<string, number>();
  const before = await draftCounts(subjects);
  let numTokens = 0;
  for (const [i, promptTokens] of set.prompts.entries()) {
    const request = requestOf(promptTokens, set.sampling, options);
    const answers: Answer[] = [];
    for (const { name, local } of turnOrder(subjects, round)) {
      const answer = await timeAnswer(local, request, options.nowMs);
      answers.push(answer);
      decodeMs.set(name, (decodeMs.get(name) ?? 0) + answer.decodeMs);
    }
    const [one, other] = answers.map(({ tokens }) => tokens.join());
    if (one !== other) {
      throw new OperatorError('runtime_failed', `Prompt ${i + 1} of "${set.name}" has another answer with drafts.`);
    }
    numTokens += (answers[0]?.tokens.length ?? 1) - 1;
  }
  const after = await draftCounts(subjects);
  const rates = TARGETS.map((target): BenchSample => {
    const value = (numTokens * 1000) / (decodeMs.get(target) ?? Number.NaN);
    return { target, round, scenario: set.name, value, unit: 'tok/s' };
  });
  const acceptance =
    (100 * (after.numAccepted - before.numAccepted)) / Math.max(1, after.numDrafted - before.numDrafted);
  const scenario = `${set.name}: accepted`;
  return [...rates, { target: WITH_DRAFTS, round, scenario, value: acceptance, unit: '%' }];
}

async function draftCounts(subjects: readonly Subject[]): Promise<{ numDrafted: number; numAccepted: number }> {
  const stats = await Promise.all(subjects.map(({ local }) => local.engine.stats()));
  return {
    numDrafted: stats.reduce((sum, { numDraftTokensTotal }) => sum + numDraftTokensTotal, 0),
    numAccepted: stats.reduce((sum, { numAcceptedDraftTokensTotal }) => sum + numAcceptedDraftTokensTotal, 0),
  };
}

function requestOf(
  promptTokens: readonly number[],
  sampling: SamplingParams,
  { maxTokens, stopTokenIds }: SpeculationOptions,
): GenerateRequest {
  return {
    requestId: 'bench',
    promptTokens,
    emittedTokens: [],
    maxTokens,
    sampling,
    stopTokenIds,
    numTopLogprobs: null,
    numPromptLogprobs: null,
    cacheSalt: '',
  };
}

async function timeAnswer({ engine }: LocalEngine, request: GenerateRequest, nowMs: () => number): Promise<Answer> {
  const decoder = new TextDecoder();
  let firstMs: number | null = null;
  let lines = '';
  for await (const bytes of await engine.generate(request)) {
    lines += decoder.decode(bytes, { stream: true });
    // A stream begins with an event that says nothing but that it was accepted.
    firstMs ??= lines.includes('"type":"token"') ? nowMs() : null;
  }
  const endMs = nowMs();
  const events = lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as GenerateEvent);
  const end = events.at(-1);
  if (end?.type !== 'finish') {
    throw new OperatorError('runtime_failed', `The engine answered: ${JSON.stringify(end)}`);
  }
  const tokens = events.flatMap((event) => (event.type === 'token' ? [event.tokenId] : []));
  return { tokens, decodeMs: endMs - (firstMs ?? endMs) };
}
