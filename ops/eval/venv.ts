/** Python environments with pinned packages, made once under `LAMINA_HOME`: for the oracle, for llama.cpp's server, for validators. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { buildFolder } from '../support/build-folder.ts';
import { type HomeLayout, PROJECT_ROOT } from '../support/home.ts';
import { withLock } from '../support/lock.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type Progress, runStep } from '../support/progress.ts';
import { runProgram } from './run-program.ts';

export const ORACLE_FOLDER = path.join(PROJECT_ROOT, 'ops', 'eval', 'oracle');

/** Prints what decides whether an environment made earlier still fits: the interpreter and its version. */
const DESCRIBE_PYTHON = 'import sys; print(sys.executable, sys.version)';

export interface VenvOptions {
  readonly home: HomeLayout;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** Folder under `LAMINA_HOME`; environments with other packages have other names. */
  readonly name?: string;
  /** File in pip's format with pinned versions. */
  readonly requirements?: string;
}

/** Another process may be making the same environment: pip downloads some 100 MB. */
const WAIT_MS_MAX = 300_000;

const ORACLE_REQUIREMENTS = path.join(ORACLE_FOLDER, 'requirements.txt');

/** The interpreter of an environment; Windows has it elsewhere. */
function interpreterIn(folder: string): string {
  return process.platform === 'win32' ? path.join(folder, 'Scripts', 'python.exe') : path.join(folder, 'bin', 'python');
}

/**
 * Makes the environment unless one with the same requirements and the same Python is there.
 * @returns the path of its interpreter.
 * @throws OperatorError `download_failed` with what Python or pip said.
 */
export async function ensureVenv(options: VenvOptions): Promise<string> {
  const { home, env, progress, name = 'venv', requirements = ORACLE_REQUIREMENTS } = options;
  const folder = path.join(home.root, name);
  return runStep(progress, 'Python environment', async (step) => {
    const python = await runPython('python3', ['-c', DESCRIBE_PYTHON], env);
    const key = createHash('sha256')
      .update(python)
      .update(await readFile(requirements))
      .digest('hex');
    // Moving a finished environment is safe: its interpreter finds the packages relative to itself, and nothing here
    // runs the scripts beside it, whose first lines name the old place.
    const build = async (unfinished: string): Promise<void> => {
      step.note('python3 -m venv');
      await runPython('python3', ['-m', 'venv', unfinished], env);
      step.note(`pip install -r ${path.basename(requirements)}`);
      const install = ['-m', 'pip', 'install', '--no-input', '--no-compile', '--disable-pip-version-check'];
      await runPython(interpreterIn(unfinished), [...install, '--requirement', requirements], env);
    };
    const make = async (): Promise<{ value: string; outcome: string }> => {
      const { reused } = await buildFolder({ folder, key, build });
      return { value: interpreterIn(folder), outcome: reused ? 'already here' : 'made' };
    };
    const lockPath = path.join(home.root, `${name}.lock`);
    return withLock(lockPath, 'making the Python environment', make, { waitMs: WAIT_MS_MAX });
  });
}

async function runPython(python: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const result = await runProgram(python, args, env);
  if (!result.ok) {
    throw new OperatorError(
      'download_failed',
      `The Python environment could not be made: ${result.reason}.`,
      'Install Python 3.11 or newer with pip and venv, check the network, and run the command again.',
    );
  }
  return result.stdout;
}
