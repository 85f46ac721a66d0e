/** Served records and errors as JSON lines on the console, which Workers keeps as logs. */
import { describeError } from '../../shards/result.ts';
import type { MeteringSink } from './served-record.ts';

export const consoleSink: MeteringSink = {
  record(record) {
    // oxlint-disable-next-line no-console -- the log is this sink's destination
    console.log(JSON.stringify({ event: 'served', ...record }));
  },
};

/** Never the text of a request: only what failed. */
export function reportErrorToConsole(requestId: string, thrown: unknown): void {
  const stack = thrown instanceof Error ? thrown.stack : undefined;
  // oxlint-disable-next-line no-console -- the log is where operators look
  console.error(JSON.stringify({ event: 'error', requestId, message: describeError(thrown), stack }));
}
