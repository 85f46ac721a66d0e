/**
 * `npm test`: everything that must be green before a change lands, in the order in which a failure is cheapest to find.
 * Each static check counts as one test; the Vitest runs report their own counts. The last line of the output is
 * `N passed, N failed`, and the exit code says the same.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** Runs a program of the project with the project's own Node first on the path. Resolves to its exit code. */
function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}` },
    });
    child.on('error', fail);
    child.on('exit', (code, signal) => done(code ?? (signal === null ? 1 : 128)));
  });
}

/** A check that passes or fails as a whole. */
async function check(name: string, command: string, ...args: string[]): Promise<Counts> {
  console.log(`\n# ${name}`);
  const failed = (await run(command, args)) === 0 ? 0 : 1;
  return { passed: 1 - failed, failed };
}

/** A Vitest run. A run that ends badly without a failed test (a crash, an unhandled error) counts as one failure. */
async function vitest(name: string, folder: string, ...args: string[]): Promise<Counts> {
  console.log(`\n# ${name}`);
  const report = join(folder, `${name.replaceAll(' ', '-')}.json`);
  const code = await run('vitest', [
    'run',
    ...args,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  const counts = await readFile(report, 'utf8').then(
    (text) => JSON.parse(text) as { numPassedTests: number; numFailedTests: number },
    () => ({ numPassedTests: 0, numFailedTests: 0 }),
  );
  const unexplained = counts.numPassedTests === 0 || (code !== 0 && counts.numFailedTests === 0) ? 1 : 0;
  return { passed: counts.numPassedTests, failed: counts.numFailedTests + unexplained };
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lamina-test-'));
  const results: Counts[] = [];
  try {
    results.push(await check('format', 'prettier', '--check', '--log-level', 'warn', '.'));
    results.push(await check('types for Node', 'tsc', '-p', 'tsconfig.json'));
    results.push(await check('types for Workers', 'tsc', '-p', 'tsconfig.workers.json'));
    results.push(await check('lint', 'oxlint', '--type-aware', '--deny-warnings'));
    results.push(await check('setup', 'node', 'ops/cli/lamina.mjs', 'setup'));
    results.push(await vitest('tests in Node', folder));
    results.push(await vitest('tests in workerd', folder, '--config', 'shards/vitest.workerd.config.ts'));
    results.push(await vitest('gateway in workerd', folder, '--config', 'worker/vitest.workerd.config.ts'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const passed = results.reduce((sum, counts) => sum + counts.passed, 0);
  const failed = results.reduce((sum, counts) => sum + counts.failed, 0);
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
