/** Runs wrangler, the vendor's own deployment tool, on the generated configurations. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

export interface WranglerResult {
  readonly exitCode: number;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

/** Characters of output that are kept, from the end: the error is there. */
const OUTPUT_CHARS_MAX = 20_000;

/** Path of wrangler's own program, so that it runs under this very Node. */
function wranglerProgram(): string {
  const packageFile = createRequire(import.meta.url).resolve('wrangler/package.json');
  return path.join(path.dirname(packageFile), 'bin', 'wrangler.js');
}

/**
 * Runs `wrangler <args>` in `folder`.
 * @param isInteractive hands the terminal to wrangler, which then may ask for a login; nothing is captured.
 */
export async function runWrangler(
  args: readonly string[],
  folder: string,
  env: NodeJS.ProcessEnv,
  isInteractive: boolean,
): Promise<WranglerResult> {
  const child = spawn(process.execPath, [wranglerProgram(), ...args], {
    cwd: folder,
    env: { ...env, WRANGLER_SEND_METRICS: 'false' },
    stdio: isInteractive ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  const killChild = (): void => void child.kill();
  process.once('exit', killChild);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARS_MAX);
    });
  }
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
  process.removeListener('exit', killChild);
  return { exitCode, output };
}
