/**
 * Where the raw rounds of every run are kept: JSON Lines, one header line for each run with the machine and the commit,
 * and after it one line for each sample. Runs of a work day go to `results/local/`, which git does not see; runs that
 * the documentation cites are kept in `results/`.
 */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import path from 'node:path';
import { runProgram } from '../eval/run-program.ts';
import { writeFileAtomic } from '../support/files.ts';
import { PROJECT_ROOT } from '../support/home.ts';
import type { BenchSample } from './samples.ts';

/** Results are read by people in a diff; a file that grows further drops its oldest runs. */
export const RESULT_BYTES_MAX = 200_000;

export const RESULTS_FOLDER = path.join(PROJECT_ROOT, 'ops', 'bench', 'results');

/** What a figure means nothing without. */
export interface RunInfo {
  /** ISO 8601. */
  readonly time: string;
  readonly cpu: string;
  readonly node: string;
  /** Abbreviated commit, with `+` when files differ from it; `unknown` outside a git checkout. */
  readonly commit: string;
  /** Targets in the order of the report, the one that others are compared with first. */
  readonly targets: readonly string[];
  readonly rounds: number;
}

export interface BenchRun {
  readonly info: RunInfo;
  readonly samples: readonly BenchSample[];
}

/** The commit of a checkout, as `RunInfo.commit`. */
export async function commitOf(folder: string, env: NodeJS.ProcessEnv): Promise<string> {
  const head = await runProgram('git', ['-C', folder, 'rev-parse', '--short', 'HEAD'], env);
  // What a bench itself writes does not make the measured code another one.
  const status = await runProgram(
    'git',
    ['-C', folder, 'status', '--porcelain', '--', '.', ':!ops/bench/results'],
    env,
  );
  if (!head.ok || !status.ok) {
    return 'unknown';
  }
  return `${head.stdout.trim()}${status.stdout.trim() === '' ? '' : '+'}`;
}

export async function describeRun(
  targets: readonly string[],
  rounds: number,
  env: NodeJS.ProcessEnv,
): Promise<RunInfo> {
  return {
    time: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    node: process.version,
    commit: await commitOf(PROJECT_ROOT, env),
    targets,
    rounds,
  };
}

/** The file of a subcommand's runs. */
export function resultsFile(name: string, kept: boolean, folder: string = RESULTS_FOLDER): string {
  return path.join(folder, ...(kept ? [] : ['local']), `${name}.jsonl`);
}

/** Runs as they are stored. Values keep four significant digits: the rest is noise. */
export function formatRuns(runs: readonly BenchRun[]): string {
  return runs
    .flatMap(({ info, samples }) => [
      JSON.stringify(info),
      ...samples.map((sample) => JSON.stringify({ ...sample, value: Number(sample.value.toPrecision(4)) })),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

/** @throws SyntaxError when a line is not JSON; RangeError when a sample comes before any run. */
export function parseRuns(text: string): BenchRun[] {
  const runs: { info: RunInfo; samples: BenchSample[] }[] = [];
  for (const line of text.split('\n').filter((entry) => entry !== '')) {
    const entry = JSON.parse(line) as RunInfo | BenchSample;
    if ('commit' in entry) {
      runs.push({ info: entry, samples: [] });
      continue;
    }
    const run = runs.at(-1);
    if (run === undefined) {
      throw new RangeError('the results start with a sample instead of the header of a run');
    }
    run.samples.push(entry);
  }
  return runs;
}

/** The runs of a file, oldest first; none when there is no such file. */
export async function readRuns(file: string): Promise<BenchRun[]> {
  try {
    return parseRuns(await readFile(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw error;
  }
}

/** Adds a run, and drops the oldest ones when the file would become longer than `bytesMax`. */
export async function appendRun(file: string, run: BenchRun, bytesMax: number = RESULT_BYTES_MAX): Promise<void> {
  const runs = [...(await readRuns(file)), run];
  while (runs.length > 1 && new TextEncoder().encode(formatRuns(runs)).length > bytesMax) {
    runs.shift();
  }
  await writeFileAtomic(file, formatRuns(runs));
}

/**
 * Runs of the same commit, targets and machine as one, with their rounds counted on, in the order in which the commits
 * were first measured.
 */
export function mergeByCommit(runs: readonly BenchRun[]): BenchRun[] {
  const merged = new Map<string, BenchRun>();
  for (const { info, samples } of runs) {
    const key = JSON.stringify([info.commit, info.cpu, info.targets]);
    const before = merged.get(key);
    const numRounds = before?.info.rounds ?? 0;
    merged.set(key, {
      info: { ...info, rounds: numRounds + info.rounds },
      samples: [
        ...(before?.samples ?? []),
        ...samples.map((sample) => ({ ...sample, round: sample.round + numRounds })),
      ],
    });
  }
  return [...merged.values()];
}
