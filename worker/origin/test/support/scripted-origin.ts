/** A pool whose origins answer as a test says, on a clock that the test winds. */
import { ManualClock } from '../../../../ops/testing/manual-clock.ts';
import type { OriginBackend } from '../../origin-backend.ts';
import { parseOrigins } from '../../origin-config.ts';
import { createOriginPool } from '../../origin-pool.ts';
import { Origin } from '../../origin.ts';
import { createTransport, type OriginCredentials } from '../../transport.ts';

export type Respond = (url: URL, init: RequestInit) => Response | Promise<Response>;

export interface ScriptedPool {
  readonly pool: OriginBackend;
  readonly clock: ManualClock;
  readonly origins: readonly Origin[];
}

/** @param origins what each answers, and what its configuration has beside the least. */
export function scriptedPool(
  origins: readonly { readonly respond: Respond; readonly config?: object; readonly credentials?: OriginCredentials }[],
): ScriptedPool {
  const clock = new ManualClock();
  const configs = parseOrigins(
    origins.map(({ config }, index) => ({
      id: String.fromCodePoint(97 + index),
      url: `http://origin-${index}.internal/v1/`,
      models: [{ public: 'lamina-pro', upstream: `up-${index}`, capabilities: ['chat', 'embeddings'] }],
      ...config,
    })),
  );
  const made = configs.map((config, index) => {
    const { respond, credentials } = origins[index] as (typeof origins)[number];
    const transport = createTransport(config.url, credentials ?? { apiKey: null, access: null }, async (url, init) =>
      respond(new URL(url), init),
    );
    return new Origin(config, transport, clock);
  });
  return { pool: createOriginPool({ origins: made, clock, random: () => 0 }), clock, origins: made };
}

/** A stream with these deltas, a finish and a count. */
export function answerOf(...contents: readonly string[]): Response {
  const events = [
    ...contents.map((content) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })),
    { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    { choices: [], usage: { prompt_tokens: 3, completion_tokens: contents.length } },
  ];
  const texts = [...events.map((event) => JSON.stringify(event)), '[DONE]'].map((data) => `data: ${data}\n\n`);
  // One event for each read, when it is read.
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const text = texts.shift();
        if (text === undefined) {
          controller.close();
        } else {
          controller.enqueue(new TextEncoder().encode(text));
        }
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
}

/** A stream that gives these bytes and then nothing until it is cancelled. */
export function silentAfter(text: string, onCancel: () => void = () => {}): Response {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode(text)),
    cancel: onCancel,
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}
