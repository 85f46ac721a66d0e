/** A gateway that keeps runs, over the real engine and the tiny model, with a head that can be stopped. */
import { createGateway, type GatewayDeps } from '../../gateway.ts';
import type { ServedRecord } from '../../metering/served-record.ts';
import { DEFAULT_RUN_LIMITS, type RunLimits } from '../../runs/limits.ts';
import { GatedHead } from './gated-head.ts';
import { LocalRuns } from './local-runs.ts';
import type { TestGateway } from './real-gateway.ts';

export interface RunGateway {
  readonly app: ReturnType<typeof createGateway>;
  readonly runs: LocalRuns;
  readonly head: GatedHead;
  readonly records: ServedRecord[];
}

/** @param real what the gateways of a test file share: the model is loaded once. */
export function runGateway(
  real: TestGateway,
  overrides: Partial<GatewayDeps> = {},
  limits: Partial<RunLimits> = {},
): RunGateway {
  const head = new GatedHead(real.head);
  const records: ServedRecord[] = [];
  const metering = { record: (record: ServedRecord) => void records.push(record) };
  const runs = new LocalRuns(
    { ...real.deps, heads: () => [head], metering, ...overrides },
    { ...DEFAULT_RUN_LIMITS, ...limits },
  );
  return { app: createGateway(runs.deps), runs, head, records };
}

export interface RunEvent {
  readonly number: number;
  readonly data: string;
}

/** The events of a stream, which must all have numbers. */
export function runEvents(body: string): RunEvent[] {
  return body
    .split('\n\n')
    .filter((event) => event !== '' && !event.startsWith(':'))
    .map((event) => {
      const match = /^id: (\d+)\ndata: (.*)$/.exec(event);
      if (match === null) {
        throw new Error(`not an event with a number: ${event}`);
      }
      return { number: Number(match[1]), data: String(match[2]) };
    });
}

/** Reads a stream until it has so many events, and leaves. */
export async function readSome(response: Response, numEvents: number): Promise<RunEvent[]> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const numRead = (): number => text.split('\n\n').length - 1;
  while (numRead() < numEvents) {
    const part = await reader?.read();
    if (part === undefined || part.done) {
      throw new Error(`the stream ended after ${numRead()} events: ${text}`);
    }
    text += part.value;
  }
  await reader?.cancel();
  return runEvents(text.split('\n\n').slice(0, numEvents).join('\n\n'));
}

/** Text of the only choice of a chat. */
export const chatText = (events: readonly RunEvent[]): string =>
  events
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => JSON.parse(data).choices?.[0]?.delta.content ?? '')
    .join('');
