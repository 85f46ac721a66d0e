/** Runs a request on the origins and counts what comes. */
import { OriginError, type OriginBackend, type OriginRequest } from '../../origin/origin-backend.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import type { StreamedOperation } from '../../origin/origin-backend.ts';
import { finishReasonOf, type OriginEvents } from './relay-chunks.ts';

/** Engines count about one token for four bytes of English text; it matters only when they are cut off. */
const BYTES_PER_TOKEN_ESTIMATE = 4;

export function estimatePromptTokens(body: Readonly<Record<string, unknown>>): number {
  return Math.ceil(
    JSON.stringify(body['messages'] ?? body['prompt'] ?? body['input'] ?? '').length / BYTES_PER_TOKEN_ESTIMATE,
  );
}

export async function* originEvents(
  origins: OriginBackend,
  request: OriginRequest<StreamedOperation>,
  meter: RequestMeter,
  signal: AbortSignal,
): OriginEvents {
  let numTokens = 0;
  try {
    for await (const event of origins.stream(request, signal)) {
      if (event.type === 'served_by') {
        meter.attempted(event.attempts);
        meter.answeredBy(`origins/${event.originId}`);
      } else if (event.type === 'chunk') {
        if (event.completionTokens > numTokens) {
          meter.sentTokens(event.completionTokens - numTokens);
          numTokens = event.completionTokens;
        }
        event.data.choices.map(finishReasonOf).forEach((reason) => {
          if (reason !== null) {
            meter.finishedChoice(reason);
          }
        });
      } else if (event.usage !== null) {
        meter.counted(event.usage);
      }
      yield event;
    }
  } catch (thrown) {
    if (thrown instanceof OriginError && meter.servedBy === null) {
      meter.attempted(thrown.attempts);
    }
    throw thrown;
  }
}
