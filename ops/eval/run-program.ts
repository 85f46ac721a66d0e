/** Runs a program to its end and keeps the little that it says. */
import { spawn } from 'node:child_process';
import { messageOf, systemCodeOf } from '../support/operator-error.ts';

export type ProgramResult =
  { readonly ok: true; readonly stdout: string } | { readonly ok: false; readonly reason: string };

/** The last lines of standard error say what went wrong; more is noise in an error message. */
const STDERR_LINES_MAX = 3;

/** Characters of each output that are kept, the last ones. */
export const OUTPUT_CHARS_MAX = 16_384;

/** The end of what a program wrote to standard error, in one line. */
export function lastLines(stderr: string): string {
  return stderr.trim().split('\n').slice(-STDERR_LINES_MAX).join(' / ');
}

/** Appends, keeping the last `OUTPUT_CHARS_MAX` characters. */
export function appendOutput(kept: string, text: string): string {
  return (kept + text).slice(-OUTPUT_CHARS_MAX);
}

/** Runs `program` and waits for its end; it ends with this process. */
export function runProgram(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<ProgramResult> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const killChild = (): void => void child.kill();
  process.once('exit', killChild);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout = appendOutput(stdout, text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = appendOutput(stderr, text);
  });
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.removeListener('exit', killChild);
      resolve({ ok: false, reason: systemCodeOf(error) === 'ENOENT' ? `${program} was not found` : messageOf(error) });
    });
    child.once('close', (code, signal) => {
      process.removeListener('exit', killChild);
      const said = lastLines(stderr);
      const reason = said === '' ? `${program} ended with ${code ?? signal}` : said;
      resolve(code === 0 ? { ok: true, stdout } : { ok: false, reason });
    });
  });
}
