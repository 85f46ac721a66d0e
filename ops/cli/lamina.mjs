#!/usr/bin/env node
/**
 * The entry of `lamina`. Plain JavaScript, because the tools behind it are TypeScript that Node runs by stripping the
 * types, and the Node that starts this file may be too old for that. It then hands over to the newer Node that the
 * package brings along, and is only a relay for signals and the exit code.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { constants } from 'node:os';

/** First release line that runs TypeScript without a flag and that the runtime's tools support. */
const NODE_MAJOR_MIN = 22;
const NODE_MINOR_MIN = 18;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const isNewEnough = major > NODE_MAJOR_MIN || (major === NODE_MAJOR_MIN && minor >= NODE_MINOR_MIN);

function handOver() {
  const folder = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');
  const node = path.join(folder, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (!existsSync(node) || process.env['LAMINA_HANDED_OVER'] !== undefined) {
    process.stderr.write(
      `lamina needs Node ${NODE_MAJOR_MIN}.${NODE_MINOR_MIN} or newer; this is ${process.versions.node}.\n` +
        'Run "npm ci" in the project folder: it installs a newer Node beside the other packages.\n',
    );
    process.exit(1);
  }
  // The channel tells the child when this process dies without being able to pass a signal on.
  const child = spawn(node, [import.meta.filename ?? new URL(import.meta.url).pathname, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, LAMINA_HANDED_OVER: '1' },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole foreground group: the child has it already.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) {
        child.kill(signal);
      }
    });
  }
  child.once('error', (error) => {
    process.stderr.write(`lamina could not start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.once('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? 'SIGTERM'] ?? 0)));
}

if (isNewEnough) {
  const { main } = await import('./main.ts');
  await main(process.argv);
} else {
  handOver();
}
