/** What `lamina bench speculation` does. */
import { commandContext, parseCount } from '../../cli/context.ts';
import { type MeasuredModel, prepareMeasuredModel, readTextModel } from '../../eval/prepare.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { runStep } from '../../support/progress.ts';
import { fileAssets } from '../../testing/file-assets.ts';
import { reportRun } from '../report.ts';
import { benchSpeculation, type PromptSet, TARGETS } from './bench-speculation.ts';
import { CHAT_PROMPTS, QUOTING_PROMPTS } from './prompts.ts';
import { GREEDY } from '../../../shards/sampling/greedy.ts';

export interface SpeculationFlags {
  readonly rounds: string;
  readonly tokens: string;
  readonly keep: boolean;
  readonly home?: string;
}

/** The longest prompt and answer fit twice over. */
const CONTEXT_TOKENS = 1024;

export async function speculationCommand(flags: SpeculationFlags): Promise<void> {
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const maxTokens = parseCount('--tokens', flags.tokens) ?? 1;
  const model = await prepareMeasuredModel(undefined, context);
  const { sets, stopTokenIds } = await readPromptSets(model);
  const samples = await runStep(context.progress, 'Measure with and without drafts', async (step) => {
    const value = await benchSpeculation({
      engine: {
        assets: fileAssets(model.convertedFolder),
        kernels: model.kernels,
        contextLengthMax: CONTEXT_TOKENS,
      },
      sets,
      stopTokenIds,
      rounds,
      maxTokens,
      nowMs: () => performance.now(),
      onRound: (done, total) => {
        step.total(total, 'items');
        step.update(done);
      },
    });
    return { value, outcome: 'equal answers' };
  });
  await reportRun(context, { name: 'speculation', samples, targets: TARGETS, rounds, keep: flags.keep });
}

async function readPromptSets(model: MeasuredModel): Promise<{ sets: PromptSet[]; stopTokenIds: readonly number[] }> {
  const { tokenizer, encodeChat, config } = await readTextModel(model.convertedFolder);
  const quotes = QUOTING_PROMPTS.map((prompt) => tokenizer.encode(prompt));
  const chats = CHAT_PROMPTS.map((content) => {
    const encoded = encodeChat([{ role: 'user', content }], CONTEXT_TOKENS);
    if (!encoded.ok) {
      throw new OperatorError('model_file_invalid', `The model's chat template does not serve: ${encoded.reason}.`);
    }
    return encoded.tokens;
  });
  const sets = [
    { name: 'extraction and quoting', prompts: quotes, sampling: GREEDY },
    { name: 'chat, greedy', prompts: chats, sampling: GREEDY },
    { name: 'chat, temperature 0.8', prompts: chats, sampling: { ...GREEDY, temperature: 0.8, topP: 0.95 } },
  ];
  return { sets, stopTokenIds: config.stopTokenIds };
}
