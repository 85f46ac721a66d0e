/** Running servers for `lamina bench serve`, and how to end those that the bench started. */
import path from 'node:path';
import { OperatorError } from '../../support/operator-error.ts';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { createTestHome } from '../../testing/test-home.ts';
import type { RestartableTarget } from '../prefix/bench-prefix.ts';
import type { Target } from '../streams.ts';

export interface RunningTarget {
  readonly target: Target;
  readonly stop: () => Promise<unknown>;
}

export interface RestartablePlatform extends RestartableTarget {
  stop(): Promise<void>;
}

export interface TargetFlags {
  readonly key: string;
  readonly model?: string;
  readonly home?: string;
}

/** A server that somebody else runs. */
export async function urlTarget(url: string, flags: TargetFlags): Promise<RunningTarget> {
  const base = url.replace(/\/+$/, '').replace(/\/v1$/, '');
  return { target: await targetAt('url', base, flags), stop: async () => {} };
}

/** The platform of a tree in a home of its own, so that one that is already running does not stand in the way. */
export async function platformTarget(
  name: string,
  tree: string,
  flags: TargetFlags,
  args: readonly string[] = [],
): Promise<RunningTarget> {
  const home = await createTestHome(flags.home);
  const launcher = path.join(tree, 'ops', 'cli', 'lamina.mjs');
  const platform = await startPlatformProcess({ launcher, args: ['--home', home.path, ...args] });
  const stop = async (): Promise<void> => {
    await platform.stop();
    await home.remove();
  };
  try {
    return { target: await targetAt(name, platform.url, flags), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The same, to be restarted with the same home. Each start has another port. */
export async function restartablePlatform(
  name: string,
  tree: string,
  flags: TargetFlags,
): Promise<RestartablePlatform> {
  const home = await createTestHome(flags.home);
  const launcher = path.join(tree, 'ops', 'cli', 'lamina.mjs');
  const start = (): Promise<PlatformProcess> => startPlatformProcess({ launcher, args: ['--home', home.path] });
  let platform = await start();
  let target = await targetAt(name, platform.url, flags);
  return {
    current: () => target,
    async restart() {
      await platform.stop();
      platform = await start();
      target = await targetAt(name, platform.url, flags);
    },
    async stop() {
      await platform.stop();
      await home.remove();
    },
  };
}

async function targetAt(name: string, url: string, { key, model }: TargetFlags): Promise<Target> {
  return { name, url, key, model: model ?? (await firstModel(url, key)) };
}

async function firstModel(url: string, key: string): Promise<string> {
  const response = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const body = (await response.json()) as { data?: { id: string }[] };
  const model = body.data?.[0]?.id;
  if (model === undefined) {
    throw new OperatorError('request_failed', `${url}/v1/models lists no model.`, 'Name one with --model.');
  }
  return model;
}
