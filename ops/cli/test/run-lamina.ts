/** Runs the command line as a user does: in a child process, through the launcher. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { PROJECT_ROOT } from '../../support/home.ts';

export const LAUNCHER = path.join(PROJECT_ROOT, 'ops', 'cli', 'lamina.mjs');

export interface LaminaRun {
  readonly child: ChildProcess;
  /** Resolves at the end of the process. */
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
  stdout(): string;
}

export function startLamina(
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly stdin?: string } = {},
): LaminaRun {
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    env: { ...process.env, LAMINA_DEBUG: '', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(options.stdin ?? '');
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended, stdout: () => stdout };
}
