/**
 * A git revision as a tree of its own in a temporary folder, with everything that its engine and its platform need. What
 * measures comes from this tree; what is measured, kernels, converter and weights included, from the other.
 */
import { cp, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import type { CommandContext } from '../../cli/context.ts';
import { type ProgramResult, runProgram } from '../../eval/run-program.ts';
import { homeLayout, PROJECT_ROOT } from '../../support/home.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { runStep } from '../../support/progress.ts';
import { CHILD_FILE } from '../engine/lamina-subject.ts';

export interface RevisionTree {
  /** Abbreviated commit. */
  readonly commit: string;
  readonly root: string;
  /** A `LAMINA_HOME` that only this tree uses; fetched models are shared. */
  readonly home: string;
  readonly convertedFolder: string;
}

/** Exactly these packages are in `node_modules`. */
const LOCK_FILE = 'package-lock.json';

function must(result: ProgramResult, what: string, hint: string | null = null): string {
  if (!result.ok) {
    throw new OperatorError('runtime_failed', `${what}: ${result.reason}`, hint);
  }
  return result.stdout.trim();
}

/** The abbreviated commit of anything that git understands as a revision. */
export async function resolveRevision(revision: string, env: NodeJS.ProcessEnv): Promise<string> {
  // The commit itself, so that a tag or a tree is followed; `--end-of-options`, so that no name is taken as a flag.
  const args = ['-C', PROJECT_ROOT, 'rev-parse', '--verify', '--short', '--end-of-options', `${revision}^{commit}`];
  const result = await runProgram('git', args, env);
  if (!result.ok) {
    const hint = 'Name a commit, a branch or a tag; a shallow clone has only its newest commits.';
    throw new OperatorError('usage', `"${revision}" is not a revision of this repository.`, hint);
  }
  return result.stdout.trim();
}

async function extract(commit: string, root: string, env: NodeJS.ProcessEnv): Promise<void> {
  const archive = `${root}.tar`;
  try {
    const args = ['-C', PROJECT_ROOT, 'archive', '--format=tar', `--output=${archive}`, commit];
    must(await runProgram('git', args, env), `git could not write ${commit}`);
    await mkdir(root, { recursive: true });
    must(await runProgram('tar', ['-xf', archive, '-C', root], env), `${commit} could not be unpacked`);
  } finally {
    await rm(archive, { force: true });
  }
}

/** Shares `node_modules` when both trees have the same packages, else installs that tree's own. */
async function providePackages(root: string, env: NodeJS.ProcessEnv): Promise<void> {
  const [own, other] = await Promise.all(
    [PROJECT_ROOT, root].map((folder) => readFile(path.join(folder, LOCK_FILE), 'utf8')),
  );
  if (own === other) {
    await symlink(path.join(PROJECT_ROOT, 'node_modules'), path.join(root, 'node_modules'));
    return;
  }
  must(await runProgram('npm', ['ci', '--prefix', root], env), 'npm ci failed in the other tree', 'Check the network.');
}

/** Converts the model and builds the kernels with the code of that tree. */
async function setUp(root: string, home: string, context: CommandContext): Promise<string> {
  const { models, converted } = homeLayout(home);
  await mkdir(home);
  await mkdir(context.home.models, { recursive: true });
  await symlink(context.home.models, models);
  const launcher = path.join(root, 'ops', 'cli', 'lamina.mjs');
  const result = await runProgram(process.execPath, [launcher, 'setup', '--home', home], context.env);
  must(result, 'lamina setup failed in the other tree');
  const [folder] = (await readdir(converted)).filter((name) => !name.startsWith('.'));
  if (folder === undefined) {
    throw new OperatorError('runtime_failed', `lamina setup of the other tree left no model in ${converted}.`);
  }
  return path.join(converted, folder);
}

/**
 * @param folder an empty one, to be removed by the caller.
 * @throws OperatorError when there is no such revision or its tree cannot be set up.
 */
export async function prepareRevision(
  revision: string,
  folder: string,
  context: CommandContext,
): Promise<RevisionTree> {
  const { env, progress } = context;
  const commit = await resolveRevision(revision, env);
  return runStep(progress, `Tree of ${commit}`, async (step) => {
    const root = path.join(folder, 'tree');
    const home = path.join(folder, 'home');
    await extract(commit, root, env);
    step.note('packages');
    await providePackages(root, env);
    step.note('kernels and weights');
    const convertedFolder = await setUp(root, home, context);
    await cp(path.join(PROJECT_ROOT, CHILD_FILE), path.join(root, CHILD_FILE));
    return { value: { commit, root, home, convertedFolder }, outcome: 'set up' };
  });
}
