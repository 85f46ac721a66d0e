/** The progress of a training as server-sent events: a classifier's object whenever it has changed, until it is over. */
import { sleep, type Clock } from '../../../shards/platform/clock.ts';
import type { ClassifierSnapshot } from '../../classify/classifier.ts';
import { SSE_DONE, sseEvent } from '../openai/wire.ts';
import { classifierObject } from './wire.ts';

/** Pause between two looks. */
export const PROGRESS_POLL_MS = 1000;

const COMMENT = ': keep-alive\n\n';

/** @param look null when the classifier is not there any more */
export function progressStream(look: () => Promise<ClassifierSnapshot | null>, clock: Clock): Response {
  const encoder = new TextEncoder();
  let last = '';
  let isFirst = true;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!isFirst) {
          await sleep(clock, PROGRESS_POLL_MS);
        }
        isFirst = false;
        const snapshot = await look();
        const event = snapshot === null ? '' : sseEvent(classifierObject(snapshot));
        // Without a change something is written all the same: a client that has left shows when something is.
        controller.enqueue(encoder.encode(event === last ? COMMENT : event));
        last = event;
        if (snapshot === null || snapshot.status === 'ready' || snapshot.status === 'failed') {
          controller.enqueue(encoder.encode(SSE_DONE));
          controller.close();
        }
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}
