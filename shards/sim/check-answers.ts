/** The checkers of what clients got. */
import type { ContentEvent } from '../client/engine-client.ts';
import type { GenerateEvent } from '../engine/protocol.ts';
import type { ClientRequest } from './client.ts';
import { check } from './failure.ts';

/** Errors that faults or load explain. All others are mistakes of the engine. */
const EXPLAINED_CODES: ReadonlySet<string> = new Set(['queue_full', 'draining', 'ring_failed', 'not_ready']);

/** Whatever a client got is a beginning of the expected answer, and all of it when the request finished. */
export function checkAnswer(request: ClientRequest): void {
  const { expected, events, outcome } = request;
  const name = request.request.requestId;
  for (const [i, event] of events.entries()) {
    const wanted = expected.events[i];
    check(
      wanted !== undefined && comparable(event) === comparable(wanted),
      'answer',
      `${name} got as event ${i} ${comparable(event)} instead of ${wanted && comparable(wanted)}`,
    );
  }
  const isWhole = events.length === expected.events.length;
  check(outcome?.kind !== 'finished' || isWhole, 'answer', `${name} finished after ${events.length} events`);
  const finish = events.at(-1);
  if (finish?.type === 'finish') {
    const { cachedTokens, promptTokens } = finish;
    check(
      cachedTokens >= 0 && cachedTokens <= promptTokens,
      'answer',
      `${name} says ${cachedTokens} tokens were cached`,
    );
  }
}

/** What came from a cache may differ from run to run; nothing else may. */
function comparable(event: ContentEvent | GenerateEvent): string {
  return JSON.stringify(event.type === 'finish' ? { ...event, cachedTokens: 0 } : event);
}

/** A request that failed says why, and the reason is one that there was. */
export function checkEnding({ outcome, request }: ClientRequest): void {
  if (outcome?.kind === 'failed') {
    const { code, message } = outcome;
    check(EXPLAINED_CODES.has(code), 'ending', `${request.requestId} ended with ${code}: ${message}`);
  }
}
