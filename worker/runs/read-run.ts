/** A run as the gateway reads it: its lines from wherever the reader stands, also when its object is reset meanwhile. */
import { AbortedError, sleepUnlessAborted, unlessAborted } from '../../shards/client/abort.ts';
import { readLines } from '../../shards/client/event-stream.ts';
import type { Clock } from '../../shards/platform/clock.ts';
import type { ReadRunRequest, ReadRunResult, RunLine, RunShardClient } from './run.ts';

/** An object that is reset, as deploys do, is there again within seconds. Pauses double from the first one on. */
const FAILURES_IN_ROW_MAX = 6;
const FIRST_DELAY_MS = 100;

type RunLines = AsyncGenerator<RunLine, void, undefined>;
export type RunReading = Extract<ReadRunResult, { ok: false }> | { readonly ok: true; readonly lines: RunLines };

/** The run was removed while it was read. */
export class RunRemovedError extends Error {
  override readonly name = 'RunRemovedError';
}

/**
 * @returns lines, every chunk once, that end with `end`. Reading them throws `AbortedError` when `signal` is aborted,
 * `RunRemovedError`, or what the object failed with when it stays away.
 */
export async function readRun(
  shard: RunShardClient,
  request: ReadRunRequest,
  signal: AbortSignal,
  clock: Clock,
): Promise<RunReading> {
  const result = await shard.read(request);
  return result.ok ? { ok: true, lines: follow(shard, request, result.stream, signal, clock) } : result;
}

async function* follow(
  shard: RunShardClient,
  request: ReadRunRequest,
  firstStream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  clock: Clock,
): RunLines {
  let after = request.after;
  let stream: ReadableStream<Uint8Array> | null = firstStream;
  for (let failures = 0; ;) {
    try {
      stream ??= await attach(shard, { ...request, after }, signal);
      for await (const text of readLines(stream, signal)) {
        const line = JSON.parse(text) as RunLine;
        failures = 0;
        after = line.type === 'chunk' ? line.number : after;
        yield line;
        if (line.type === 'end') {
          return;
        }
      }
    } catch (thrown) {
      failures++;
      if (thrown instanceof RunRemovedError || failures >= FAILURES_IN_ROW_MAX) {
        throw thrown;
      }
      await sleepUnlessAborted(clock, FIRST_DELAY_MS * 2 ** (failures - 1), signal);
    }
    if (signal.aborted) {
      throw new AbortedError();
    }
    stream = null;
  }
}

/** @throws RunRemovedError when there is nothing to attach to any more. */
async function attach(
  shard: RunShardClient,
  request: ReadRunRequest,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const cancelLate = (late: ReadRunResult): void => {
    if (late.ok) {
      void late.stream.cancel().catch(() => {});
    }
  };
  const result = await unlessAborted(shard.read(request), signal, cancelLate);
  if (!result.ok) {
    throw result.reason === 'too_many_readers'
      ? new Error('the run has too many readers')
      : new RunRemovedError('the run was removed while it was read');
  }
  return result.stream;
}
