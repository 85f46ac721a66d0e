/** How a generation goes on over replicas that fail, refuse or drain: scripted heads and a clock that is wound by hand. */
import { describe, expect, it } from 'vitest';
import { ManualClock, settled } from '../../../ops/testing/manual-clock.ts';
import {
  errorEvent,
  finishEvent,
  ScriptedHead,
  tokenEvent,
  type Script,
  type ScriptStep,
} from '../../../ops/testing/scripted-head.ts';
import { requestOf } from '../../test/tiny-ring.ts';
import type { EngineErrorCode, GenerateEvent, GenerateRequest } from '../../engine/protocol.ts';
import { sleep } from '../../platform/clock.ts';
import { AbortedError } from '../abort.ts';
import { createEngineClient, type GenerateOptions } from '../engine-client.ts';
import { DEFAULT_RESUME_LIMITS, GenerationError } from '../recovery.ts';
import { ReplicaSet } from '../replica-set.ts';
import { SECOND_LOOK_MS } from '../silence-watch.ts';

/** The head is silent for so long at most. */
const WITHIN_MS = 3_000;
const accepted: GenerateEvent = {
  type: 'accepted',
  load: { numRunning: 1, numWaiting: 0 },
  nextWithinMs: WITHIN_MS,
};
const alive: GenerateEvent = { type: 'alive', nextWithinMs: WITHIN_MS };
const tokens = (...ids: number[]): GenerateEvent[] => ids.map(tokenEvent);
const dies: Script = [{ type: 'break' }];

const full = (retryAfterMs?: number): GenerateEvent => ({
  type: 'error',
  code: 'queue_full',
  message: 'full',
  retryable: true,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});

/** @param scripts for each replica what its calls do in turn; the last one serves all further calls. */
function setUp(scripts: readonly (readonly Script[])[]) {
  const clock = new ManualClock();
  const heads = scripts.map((own) => new ScriptedHead(...own));
  const set = new ReplicaSet(heads, clock);
  const client = createEngineClient(set, clock);
  const failures: GenerationError[] = [];
  const ids: number[] = [];
  const aborting = new AbortController();
  const run = async (request: GenerateRequest = requestOf(), options: GenerateOptions = {}): Promise<unknown> => {
    const events = client.generate(request, aborting.signal, {
      onResume: (failure) => failures.push(failure),
      ...options,
    });
    try {
      for await (const event of events) {
        if (event.type === 'token') {
          ids.push(event.tokenId);
        }
      }
      return null;
    } catch (thrown) {
      return thrown;
    }
  };
  /** Runs to the end, winding the clock. */
  const finish = async (running: Promise<unknown> = run()): Promise<unknown> => {
    const progress = { isOver: false };
    void running.then(() => (progress.isOver = true));
    for (let step = 0; step < 5_000 && !progress.isOver; step++) {
      await clock.wind(50);
    }
    return running;
  };
  return { clock, heads, set, client, failures, ids, aborting, run, finish };
}

/** Two replicas, the first of which takes `paceMs` before each step of its script but the first. The request is sent. */
function setUpPaced(steps: readonly ScriptStep[], paceMs: number) {
  const gates = steps.slice(1).map(() => Promise.withResolvers<void>());
  const paced = steps.flatMap((step, i): ScriptStep[] => {
    const gate = gates[i - 1];
    return gate === undefined ? [step] : [{ type: 'wait', promise: gate.promise }, step];
  });
  const parts = setUp([[paced], [[accepted, finishEvent]]]);
  gates.forEach(({ resolve }, i) => void parts.clock.startTimer((i + 1) * paceMs, resolve));
  return { ...parts, running: parts.run(requestOf(), { promptCacheKey: KEY }) };
}

/** A prompt cache key that prefers the first of `numReplicas`. */
function keyOfFirst(numReplicas: number): string {
  for (let key = 0; ; key++) {
    const { heads, run } = setUp(Array.from({ length: numReplicas }, () => [[finishEvent]]));
    void run(requestOf(), { promptCacheKey: `${key}` });
    if (heads[0]?.requests.length === 1) {
      return `${key}`;
    }
  }
}

const KEY = keyOfFirst(2);
const numRequests = (heads: readonly ScriptedHead[]): number[] => heads.map(({ requests }) => requests.length);

describe('a replica that dies', () => {
  it('is followed by another one at once, with what was emitted and the same seed', async () => {
    const { heads, ids, failures, run } = setUp([
      [[accepted, ...tokens(4, 5), { type: 'break' }]],
      [[accepted, ...tokens(6), finishEvent]],
    ]);
    const request = requestOf({ emittedTokens: [3] });
    expect(await run(request, { promptCacheKey: KEY })).toBeNull();
    expect(ids).toEqual([4, 5, 6]);
    expect(heads[1]?.requests[0]).toEqual({ ...request, requestId: 'test.r1', emittedTokens: [3, 4, 5] });
    expect(failures).toMatchObject([{ code: 'ring_failed' }]);
  });

  it('is not asked first by the next request', async () => {
    const { heads, run } = setUp([[dies, [finishEvent]], [[...tokens(6), finishEvent]]]);
    await run(requestOf(), { promptCacheKey: KEY });
    await run(requestOf(), { promptCacheKey: KEY });
    expect(numRequests(heads)).toEqual([1, 2]);
  });

  it('does not ask for prompt log-probabilities that are there already', async () => {
    const prompt: GenerateEvent = { type: 'prompt', logprobs: [] };
    const { heads, run } = setUp([[[accepted, prompt, { type: 'break' }]], [[finishEvent]]]);
    expect(await run(requestOf({ numPromptLogprobs: 0 }), { promptCacheKey: KEY })).toBeNull();
    expect(heads.map(({ requests }) => requests[0]?.numPromptLogprobs)).toEqual([0, null]);
  });

  it('does not accept the call in time: another one does', async () => {
    for (const script of ['never', [{ type: 'hang' }]] as const) {
      const { clock, heads, run } = setUp([[script], [[accepted, finishEvent]]]);
      const running = run(requestOf(), { promptCacheKey: KEY });
      await clock.wind(DEFAULT_RESUME_LIMITS.acceptMsMax + SECOND_LOOK_MS - 1);
      expect(numRequests(heads)).toEqual([1, 0]);
      await clock.wind(1);
      expect(await running).toBeNull();
      expect(clock.numTimers).toBe(0);
    }
  });

  it('accepts and then says nothing for longer than it may: another one goes on', async () => {
    const { clock, heads, failures, run } = setUp([[[accepted, { type: 'hang' }]], [[accepted, finishEvent]]]);
    const running = run(requestOf(), { promptCacheKey: KEY });
    await clock.wind(WITHIN_MS + SECOND_LOOK_MS - 1);
    expect(numRequests(heads)).toEqual([1, 0]);
    await clock.wind(1);
    expect(await running).toBeNull();
    expect(heads[0]?.numCancelled).toBe(1);
    expect(failures).toMatchObject([{ message: expect.stringContaining(`nothing came for ${WITHIN_MS} ms`) }]);
  });

  it('is believed in while it gives signs of life, and as long as it says', async () => {
    const slower: GenerateEvent = { type: 'alive', nextWithinMs: 2 * WITHIN_MS };
    const { clock, heads, running } = setUpPaced([accepted, alive, slower, { type: 'hang' }], WITHIN_MS);
    await clock.wind(2 * WITHIN_MS + 2 * WITHIN_MS + SECOND_LOOK_MS - 1);
    expect(numRequests(heads)).toEqual([1, 0]);
    await clock.wind(1);
    expect(await running).toBeNull();
  });

  it('is alive and gets no further: another one goes on in the end', async () => {
    const { progressMsMax } = DEFAULT_RESUME_LIMITS;
    const numSigns = progressMsMax / WITHIN_MS + 1;
    const signs = Array.from({ length: numSigns }, (): GenerateEvent => alive);
    const { clock, heads, failures, running } = setUpPaced([accepted, ...tokens(4), ...signs], WITHIN_MS);
    // The token is the last progress.
    await clock.wind(WITHIN_MS + progressMsMax + SECOND_LOOK_MS - 1);
    expect(numRequests(heads)).toEqual([1, 0]);
    await clock.wind(1);
    expect(await running).toBeNull();
    expect(failures).toMatchObject([{ message: expect.stringContaining(`no further for ${progressMsMax} ms`) }]);
  });

  it('is not what a client makes of it that reads slowly', async () => {
    const { clock, heads, client } = setUp([[[accepted, ...tokens(4, 5), finishEvent]], [[finishEvent]]]);
    const types: string[] = [];
    const signal = new AbortController().signal;
    const reading = (async () => {
      for await (const { type } of client.generate(requestOf(), signal, { promptCacheKey: KEY })) {
        types.push(type);
        await sleep(clock, 2 * DEFAULT_RESUME_LIMITS.progressMsMax);
      }
    })();
    await clock.wind(7 * DEFAULT_RESUME_LIMITS.progressMsMax);
    await reading;
    expect(types).toEqual(['token', 'token', 'finish']);
    expect(numRequests(heads)).toEqual([1, 0]);
  });

  it('is looked at a second time, for what came while the gateway itself was busy', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock, heads, run } = setUp([[[accepted, { type: 'wait', promise }, finishEvent]], [[finishEvent]]]);
    const running = run(requestOf(), { promptCacheKey: KEY });
    await clock.wind(WITHIN_MS);
    resolve();
    await clock.wind(SECOND_LOOK_MS);
    expect(await running).toBeNull();
    expect(numRequests(heads)).toEqual([1, 0]);
  });

  it('for good is not asked again, the others are', async () => {
    const lost: Script = [errorEvent('not_ready', false)];
    const { heads, ids, finish } = setUp([[lost], [dies, dies, [...tokens(4), finishEvent]]]);
    expect(await finish()).toBeNull();
    expect(ids).toEqual([4]);
    expect(numRequests(heads)).toEqual([1, 3]);
  });

  it('like all others for good ends the generation at once', async () => {
    const { heads, run } = setUp([[[errorEvent('ring_failed', false)]], [[errorEvent('not_ready', false)]]]);
    expect(await run()).toBeInstanceOf(GenerationError);
    expect(numRequests(heads)).toEqual([1, 1]);
  });
});

describe('the number of attempts', () => {
  it('is one for each replica in a round, and the rounds are bounded', async () => {
    const { heads, failures, finish } = setUp([[dies], [dies]]);
    expect(await finish()).toMatchObject({ code: 'ring_failed' });
    expect(numRequests(heads)).toEqual([6, 6]);
    expect(failures).toHaveLength(11);
  });

  it('is bounded in all, however often there is a token between', async () => {
    const oneToken: Script = [accepted, ...tokens(4), { type: 'break' }];
    const { heads, ids, finish } = setUp([[oneToken], [oneToken]]);
    expect(await finish()).toMatchObject({ code: 'ring_failed' });
    const total = numRequests(heads).reduce((sum, count) => sum + count, 0);
    expect(total).toBe(DEFAULT_RESUME_LIMITS.failuresTotalMax);
    expect(ids).toHaveLength(total);
  });

  it('counts a token as a new start', async () => {
    const { ids, finish } = setUp([
      [dies, dies, dies, dies, dies, [...tokens(4), { type: 'break' }], dies, dies, dies, dies, [finishEvent]],
    ]);
    expect(await finish()).toBeNull();
    expect(ids).toEqual([4]);
  });

  it.each([['prompt_too_long'], ['invalid_request']] as const)('is one for %s', async (code: EngineErrorCode) => {
    const { heads, run } = setUp([[[errorEvent(code, true)]], [[finishEvent]]]);
    expect(await run(requestOf(), { promptCacheKey: KEY })).toMatchObject({ code });
    expect(numRequests(heads)).toEqual([1, 0]);
  });

  it('pauses between rounds only, ever longer', async () => {
    const { clock, heads, run } = setUp([[dies], [dies]]);
    const running = run();
    const roundsAtMs: number[] = [];
    for (let ms = 0; ms < 4_000; ms += 50) {
      await clock.wind(ms === 0 ? 0 : 50);
      if (numRequests(heads).reduce((sum, count) => sum + count, 0) > roundsAtMs.length * 2) {
        expect(numRequests(heads)).toEqual([roundsAtMs.length + 1, roundsAtMs.length + 1]);
        roundsAtMs.push(clock.nowMs());
      }
    }
    expect(roundsAtMs).toEqual([0, 100, 300, 700, 1_500, 3_100]);
    await running;
  });
});

describe('a replica that refuses', () => {
  it.each([['queue_full'], ['draining']] as const)('with %s sends the request to another one', async (code) => {
    const { heads, ids, run } = setUp([[[errorEvent(code, true)]], [[accepted, ...tokens(4), finishEvent]]]);
    expect(await run(requestOf(), { promptCacheKey: KEY })).toBeNull();
    expect(ids).toEqual([4]);
    expect(numRequests(heads)).toEqual([1, 1]);
  });

  it('like all others is told to the client at once, with the shortest wait', async () => {
    const { heads, run } = setUp([[[full(9_000)]], [[errorEvent('draining', true)]], [[full(4_000)]], [[full()]]]);
    expect(await run()).toMatchObject({ code: 'queue_full', retryAfterMs: 4_000 });
    expect(numRequests(heads)).toEqual([1, 1, 1, 1]);
  });

  it('like all others by draining says so', async () => {
    const { run } = setUp([[[errorEvent('draining', true)]], [[errorEvent('draining', true)]]]);
    expect(await run()).toMatchObject({ code: 'draining', retryAfterMs: null });
  });

  it('does not end a stream that the client has begun to read', async () => {
    const { heads, ids, failures, finish } = setUp([
      [[...tokens(4), { type: 'break' }], [full(500)], [...tokens(5), finishEvent]],
      [[full(500)], [full(500)]],
    ]);
    expect(await finish()).toBeNull();
    expect(ids).toEqual([4, 5]);
    expect(numRequests(heads)[0]).toBe(3);
    expect(failures.length).toBeGreaterThan(2);
  });

  it('while the others fail is asked again: the queue may be shorter by then', async () => {
    const { ids, finish } = setUp([[[full(500)], [...tokens(4), finishEvent]], [dies]]);
    expect(await finish()).toBeNull();
    expect(ids).toEqual([4]);
  });
});

describe('a client that leaves', () => {
  it('ends the pause between rounds and starts nothing more', async () => {
    const { clock, heads, run, aborting } = setUp([[dies]]);
    const running = run();
    await settled();
    aborting.abort();
    expect(await running).toBeInstanceOf(AbortedError);
    expect(numRequests(heads)).toEqual([1]);
    expect(clock.numTimers).toBe(0);
  });

  it('does not count against the replica, and leaves no work behind', async () => {
    const { set, run, aborting } = setUp([[[accepted, { type: 'hang' }]]]);
    const running = run();
    await settled();
    expect(set.replicas[0]?.load).toBe(1);
    aborting.abort();
    expect(await running).toBeInstanceOf(AbortedError);
    expect(set.replicas[0]?.load).toBe(0);
    expect(set.replicas[0]?.setBackReason).toBeNull();
  });
});
