/** What `lamina bench compare` does: this tree against a revision, in turn, in fresh processes. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type CommandContext, commandContext, parseCount } from '../../cli/context.ts';
import { onStopRequest } from '../../cli/stop-signal.ts';
import { prepareMeasuredModel } from '../../eval/prepare.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { contextTokensOf, type EngineScenarioFlags, measureEngines } from '../engine/command.ts';
import { laminaSubject } from '../engine/lamina-subject.ts';
import { reportRun } from '../report.ts';
import { type BenchSample, turnOrder } from '../samples.ts';
import { measureServers, type ServeScenarioFlags } from '../serve/command.ts';
import { platformTarget } from '../serve/targets.ts';
import { prepareRevision, type RevisionTree } from './revision-tree.ts';

export interface CompareFlags extends EngineScenarioFlags, ServeScenarioFlags {
  readonly what: string;
  readonly home?: string;
}

/** Name of the tree that the command runs in. */
const OWN_NAME = 'this tree';
const LOCAL_KEY = 'sk-local';

async function compareEngines(
  other: RevisionTree,
  flags: CompareFlags,
  context: CommandContext,
): Promise<BenchSample[]> {
  const { convertedFolder } = await prepareMeasuredModel(undefined, context);
  const contextTokens = contextTokensOf(flags);
  const subjects = [
    laminaSubject({ name: OWN_NAME, tree: PROJECT_ROOT, convertedFolder, contextTokens }),
    laminaSubject({
      name: other.commit,
      tree: other.root,
      convertedFolder: other.convertedFolder,
      contextTokens,
    }),
  ];
  return measureEngines(subjects, flags, convertedFolder, context);
}

async function compareServers(
  other: RevisionTree,
  flags: CompareFlags,
  context: CommandContext,
): Promise<BenchSample[]> {
  const trees = [
    { name: OWN_NAME, root: PROJECT_ROOT, home: context.home.root },
    { name: other.commit, root: other.root, home: other.home },
  ];
  const samples: BenchSample[] = [];
  for (let round = 0; round < (parseCount('--rounds', flags.rounds) ?? 1); round++) {
    for (const { name, root, home } of turnOrder(trees, round)) {
      const running = await platformTarget(name, root, { key: LOCAL_KEY, home });
      try {
        const measured = await measureServers([running.target], { ...flags, rounds: '1' }, context);
        samples.push(...measured.map((sample) => ({ ...sample, round })));
      } finally {
        await running.stop();
      }
    }
  }
  return samples;
}

export async function compareCommand(revision: string, flags: CompareFlags): Promise<void> {
  if (!['engine', 'serve', 'both'].includes(flags.what)) {
    throw new OperatorError('usage', `--what is engine, serve or both, not "${flags.what}".`);
  }
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const folder = await mkdtemp(path.join(tmpdir(), 'lamina-revision-'));
  // A tree with its weights is too much to leave behind. What runs in it ends with this process.
  onStopRequest((exitCode) => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(exitCode);
  });
  try {
    const other = await prepareRevision(revision, folder, context);
    const samples = [
      ...(flags.what === 'serve' ? [] : await compareEngines(other, flags, context)),
      ...(flags.what === 'engine' ? [] : await compareServers(other, flags, context)),
    ];
    const targets = [OWN_NAME, other.commit];
    await reportRun(context, { name: 'compare', samples, targets, rounds, keep: false });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
