/**
 * Makes sure that the Workers runtime does not outlive this process. Signals are handled by stopping it, but nothing can
 * be handled when this process is killed with SIGKILL, and the runtime itself does not notice: it would keep the port
 * and hundreds of megabytes for ever.
 *
 * The runtime is therefore started through a shell script. Miniflare gives it a control channel as descriptor 3, whose
 * other end is in this process and closes when this process ends, however it ends. The script leaves a reader on that
 * descriptor, which kills the runtime at the end of file, and then becomes the runtime itself, so that Miniflare's own
 * `kill` reaches it. The runtime writes to the channel and never reads from it.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { writeFileAtomic } from '../support/files.ts';

const GUARD_NAME = 'guarded-runtime.sh';

/**
 * For as long as the runtime lives it is the reader's parent. When it has died on its own the reader is somebody else's
 * child, and the number in `$$` may by now belong to an innocent process.
 *
 * The reader ignores what a terminal or `timeout` sends to the whole process group: the parent may die of it at once, and
 * the runtime, which first waits for its connections, an inspector's for instance, would be left alone.
 */
const GUARD_SCRIPT = `#!/bin/sh
(
  trap '' HUP INT TERM
  exec </dev/null >/dev/null 2>&1
  read -r _ <&3
  self=$(exec sh -c 'echo "$PPID"')
  [ "$(ps -o ppid= -p "$self" | tr -d ' ')" = "$$" ] && kill -9 "$$"
) &
exec "$LAMINA_WORKERD_BINARY" "$@"
`;

/** Path of the runtime's binary for this machine, as its npm package reports it. */
function runtimeBinary(): string {
  const require = createRequire(import.meta.resolve('miniflare'));
  const workerd = require('workerd') as { readonly default: string };
  return workerd.default;
}

/**
 * Environment variables with which Miniflare starts the runtime under guard. Empty where there is no POSIX shell, or
 * when the operator has chosen a runtime of his own.
 */
export async function runtimeGuardEnv(folder: string, env: NodeJS.ProcessEnv): Promise<Record<string, string>> {
  const chosen = env['MINIFLARE_WORKERD_PATH'];
  if (process.platform === 'win32' || (chosen !== undefined && path.basename(chosen) !== GUARD_NAME)) {
    return {};
  }
  await mkdir(folder, { recursive: true });
  const script = path.join(folder, GUARD_NAME);
  await writeFileAtomic(script, GUARD_SCRIPT);
  await chmod(script, 0o755);
  return { MINIFLARE_WORKERD_PATH: script, LAMINA_WORKERD_BINARY: runtimeBinary() };
}
