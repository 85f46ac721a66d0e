/** What `lamina bench engine` does. */
import { type CommandContext, commandContext, parseCount } from '../../cli/context.ts';
import { prepareMeasuredModel, readTextModel } from '../../eval/prepare.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { runStep } from '../../support/progress.ts';
import { parseCounts } from '../counts.ts';
import { reportRun } from '../report.ts';
import type { BenchSample } from '../samples.ts';
import { benchEngine } from './bench-engine.ts';
import { laminaSubject } from './lamina-subject.ts';
import { llamaCppSubject } from './llama-cpp-subject.ts';
import { exactPrompt } from './prompts.ts';
import type { SubjectFactory } from './subject.ts';
import { wllamaSubject } from './wllama-subject.ts';

export interface EngineScenarioFlags {
  readonly rounds: string;
  readonly prefill: string;
  readonly contexts: string;
  readonly tokens: string;
  readonly scenarioSeconds: string;
}

export interface EngineFlags extends EngineScenarioFlags {
  readonly peers: string;
  readonly keep: boolean;
  readonly home?: string;
}

/** Room for the warm-up. */
const CONTEXT_TOKENS_MIN = 128;

/** Room for the longest sequence that the flags ask for. */
export function contextTokensOf(flags: EngineScenarioFlags): number {
  const lengths = [...parseCounts('--prefill', flags.prefill), ...parseCounts('--contexts', flags.contexts)];
  return Math.max(CONTEXT_TOKENS_MIN, ...lengths) + (parseCount('--tokens', flags.tokens) ?? 1) + 1;
}

function peersOf(names: string, context: CommandContext, modelFile: string, contextTokens: number): SubjectFactory[] {
  const known: Readonly<Record<string, () => SubjectFactory>> = {
    'llama.cpp': () => llamaCppSubject({ context, modelFile, contextTokens }),
    wllama: () => wllamaSubject({ modelFile, contextTokens }),
  };
  return names
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'none')
    .map((name) => {
      const factory = known[name];
      if (factory === undefined) {
        const hint = `Known peers: ${Object.keys(known).join(', ')}; or none.`;
        throw new OperatorError('usage', `There is no peer "${name}".`, hint);
      }
      return factory();
    });
}

/** Measures any engines by the flags. */
export async function measureEngines(
  subjects: readonly SubjectFactory[],
  flags: EngineScenarioFlags,
  convertedFolder: string,
  context: CommandContext,
): Promise<BenchSample[]> {
  const { tokenizer } = await readTextModel(convertedFolder);
  return runStep(context.progress, 'Measure engines', async (step) => {
    const value = await benchEngine({
      subjects,
      rounds: parseCount('--rounds', flags.rounds) ?? 1,
      prefillTokens: parseCounts('--prefill', flags.prefill),
      contexts: parseCounts('--contexts', flags.contexts),
      decodeTokens: parseCount('--tokens', flags.tokens) ?? 1,
      scenarioSecondsMax: parseCount('--scenario-seconds', flags.scenarioSeconds) ?? 1,
      makePrompt: (numTokens, seed) => exactPrompt(tokenizer, numTokens, seed),
      onScenario: (done, total, note) => {
        step.total(total, 'items');
        step.update(done);
        step.note(note);
      },
    });
    return { value, outcome: `${value.length} samples` };
  });
}

export async function engineCommand(flags: EngineFlags): Promise<void> {
  const context = commandContext(flags);
  const model = await prepareMeasuredModel(undefined, context);
  const contextTokens = contextTokensOf(flags);
  const { convertedFolder } = model;
  const subjects = [
    laminaSubject({ name: 'lamina', tree: PROJECT_ROOT, convertedFolder, contextTokens }),
    ...peersOf(flags.peers, context, model.file.path, contextTokens),
  ];
  const samples = await measureEngines(subjects, flags, convertedFolder, context);
  await reportRun(context, {
    name: 'engine',
    samples,
    targets: subjects.map((subject) => subject.name),
    rounds: parseCount('--rounds', flags.rounds) ?? 1,
    keep: flags.keep,
  });
}
