/** A client that leaves frees the slot of the engine, whatever the engine is doing: seen in llama.cpp's own `/slots`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AbortedError } from '../../../shards/client/abort.ts';
import type { OriginBackend } from '../origin-backend.ts';
import { chatRequest, type Engines, poolOver, startEngines } from './support/real-origins.ts';

/** Big enough for a prompt of thousands of tokens to keep one thread busy for a while. */
const SHAPE = {
  hiddenSize: 256,
  intermediateSize: 512,
  numLayers: 6,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 64,
  contextLengthMax: 8192,
};
const LONG_PROMPT = 'hello there '.repeat(1100);

/** The engine notices between two of its batches; its answer would have thousands of tokens. */
const MADE_BEFORE_NOTICED_MAX = 100;

let engines: Engines;
let pool: OriginBackend;

beforeAll(async () => {
  engines = await startEngines(SHAPE);
  pool = poolOver([engines.engines[0].url]);
});
afterAll(() => engines.stop());

async function numBusySlots(): Promise<number> {
  const response = await fetch(`${engines.engines[0].url}/slots`);
  const slots = (await response.json()) as readonly { readonly is_processing: boolean }[];
  return slots.filter((slot) => slot.is_processing).length;
}

/** Tokens that the engine has made so far. An answer that ran to its end would show thousands here. */
async function numPredicted(): Promise<number> {
  const page = await (await fetch(`${engines.engines[0].url}/metrics`)).text();
  return Number(/^llamacpp:tokens_predicted_total (\d+)/m.exec(page)?.[1]);
}

/** Polls until so many slots are busy; the test's own time-out is the bound. */
async function untilBusy(expected: number): Promise<void> {
  while ((await numBusySlots()) !== expected) {
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

function ask(content: string, signal: AbortSignal) {
  const { body } = chatRequest();
  const long = { ...body, messages: [{ role: 'user', content }], max_tokens: 100_000 };
  return pool.stream(chatRequest({ body: long }), signal);
}

describe('the slot of the engine', () => {
  it('is freed while it prefills', async () => {
    const numBefore = await numPredicted();
    const controller = new AbortController();
    const events = ask(LONG_PROMPT, controller.signal);
    const first = events.next();
    first.catch(() => {});
    await untilBusy(1);
    controller.abort();
    await expect(first).rejects.toBeInstanceOf(AbortedError);
    await untilBusy(0);
    expect((await numPredicted()) - numBefore).toBeLessThan(MADE_BEFORE_NOTICED_MAX);
    expect(pool.health()).toMatchObject([{ inFlight: 0, failures: 0, breaker: 'closed' }]);
  });

  it('is freed while it generates, by the signal and by leaving the loop', async () => {
    const controller = new AbortController();
    const events = ask('hello', controller.signal);
    await events.next();
    await events.next();
    expect(await numBusySlots()).toBe(1);
    controller.abort();
    const rest = async (): Promise<void> => {
      for await (const _event of events) {
        // What has arrived is still given out.
      }
    };
    await expect(rest()).rejects.toBeInstanceOf(AbortedError);
    await untilBusy(0);

    for await (const event of ask('hello', new AbortController().signal)) {
      if (event.type === 'chunk') {
        break;
      }
    }
    await untilBusy(0);
    expect(pool.health()).toMatchObject([{ inFlight: 0, failures: 0, breaker: 'closed' }]);
  });
});
