/**
 * Answers that take a while, so that a client that leaves is noticed.
 *
 * The Workers runtime notices a lost client only when it writes to it: an answer that is silent, because the prompt is
 * long or the ring is busy, would be computed to its end for nobody. So while there is nothing to say, something without
 * meaning is written every second: a comment in an event stream, white space in front of a JSON text.
 *
 * Writing needs headers, and headers carry the status. They are held back until the first part of the answer is there or
 * the hold is over: what fails until then (a full queue, a prompt that the engine refuses) has its proper status. What
 * fails later has status 200 and the error in the body: as the only content of a JSON answer, as the last event of a
 * stream. The official clients turn the latter into an exception; for a JSON answer the caller sees `error` instead of
 * `choices`. Noticing lost clients is worth that.
 */
import { withDeadline, type Clock } from '../../../shards/platform/clock.ts';

/** Also the longest time for which a lost client is not noticed. */
export const HEARTBEAT_MS = 1000;

/**
 * Longest time for which the head waits for another backend to take over: only for requests that allow it, since a client
 * that leaves meanwhile is not noticed. Longer than a ring's own attempts to come back.
 */
export const UNDECIDED_MS_MAX = 8000;

export interface HeldAnswer {
  /** Parts of the body. It is ended early, by `return()`, when the client is gone. */
  readonly parts: AsyncGenerator<string, void, undefined>;
  readonly heartbeat: string;
  /** Whether the first part is the whole body: then what is there before the first heartbeat needs no stream. */
  readonly isWhole?: boolean;
  /** Called once, when the head of a good answer is sent. */
  readonly sendHead: () => Readonly<Record<string, string>>;
  /** Resolves when it is settled who serves the request; null when it is from the start. */
  readonly decided: Promise<void> | null;
  /** The response for a failure while headers are still held back. */
  readonly failureResponse: (thrown: unknown) => Response;
  /** The last part of the body for a failure after that. */
  readonly failurePart: (thrown: unknown) => string;
  /** Called at once when the client is gone: must make a pending `parts.next()` settle. */
  readonly onClientGone: () => void;
}

export async function heldResponse(clock: Clock, answer: HeldAnswer): Promise<Response> {
  const first = settle(answer.parts.next());
  let early = await withDeadline(clock, HEARTBEAT_MS, first);
  if (early === 'timeout' && answer.decided !== null) {
    const decided = answer.decided.then((): 'timeout' => 'timeout');
    early = await withDeadline(clock, UNDECIDED_MS_MAX - HEARTBEAT_MS, Promise.race([first, decided]));
  }
  if (early !== 'timeout' && !early.ok) {
    return answer.failureResponse(early.thrown);
  }
  if (early !== 'timeout' && answer.isWhole === true && early.value.done !== true) {
    void answer.parts.return().catch(() => {});
    return new Response(early.value.value, { headers: answer.sendHead() });
  }
  return new Response(bodyStream(clock, answer, first), { headers: answer.sendHead() });
}

type Settled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly thrown: unknown };
type Part = IteratorResult<string, void>;

/** A promise that never rejects, so that it may stay unobserved between two pulls. */
function settle<T>(promise: Promise<T>): Promise<Settled<T>> {
  return promise.then(
    (value) => ({ ok: true, value }),
    (thrown: unknown) => ({ ok: false, thrown }),
  );
}

function bodyStream(clock: Clock, answer: HeldAnswer, first: Promise<Settled<Part>>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let pending: Promise<Settled<Part>> | null = first;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        pending ??= settle(answer.parts.next());
        const part = await withDeadline(clock, HEARTBEAT_MS, pending);
        if (part === 'timeout') {
          controller.enqueue(encoder.encode(answer.heartbeat));
          return;
        }
        pending = null;
        if (!part.ok) {
          controller.enqueue(encoder.encode(answer.failurePart(part.thrown)));
          controller.close();
        } else if (part.value.done === true) {
          controller.close();
        } else {
          controller.enqueue(encoder.encode(part.value.value));
        }
      },
      cancel() {
        answer.onClientGone();
        void answer.parts.return().catch(() => {});
      },
    },
    // Nothing is computed ahead of what the client takes.
    { highWaterMark: 0 },
  );
}
