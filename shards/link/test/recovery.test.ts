/** Rings that break: whatever happens to a link or a stage, a client gets the same tokens or an error that says so. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { createStageRuntime, type StageRuntime, type StageRuntimeOptions } from '../../../wasm/host/stage-runtime.ts';
import type { FrameLink } from '../../platform/link.ts';
import type { EngineLimits } from '../../engine/limits.ts';
import type { LocalEngine, LocalEngineOptions } from '../../platform/local/local-engine.ts';
import { collect, pollStats, promptOf, requestOf, tinyRings, tokensOf } from '../../test/tiny-ring.ts';
import { decodeFrame } from '../decode-frame.ts';
import type { OpenStageResult } from '../ring-protocol.ts';
import type { StageNode } from '../stage-node.ts';
import { GREEDY } from '../../sampling/greedy.ts';

const rings = await tinyRings();
const kernels = await loadKernels();

const REQUEST = requestOf({
  promptTokens: promptOf(40),
  maxTokens: 16,
  sampling: { ...GREEDY, temperature: 0.8, presencePenalty: 0.2 },
  numTopLogprobs: 2,
  numPromptLogprobs: 2,
});
const STAGE_COUNT = 3;
const LIMITS = { reopenDelayMs: 1 };

const expected = await collect((await rings.open()).engine, REQUEST);

/** Calls `onSend` for every step and result frame, in the order in which they are sent; it passes them on, or not. */
function tampering(
  onSend: (send: (bytes: Uint8Array<ArrayBuffer>) => void, bytes: Uint8Array<ArrayBuffer>, link: FrameLink) => void,
): NonNullable<LocalEngineOptions['wrapLink']> {
  return (link) => ({
    attach: (handlers) => link.attach(handlers),
    close: (reason) => link.close(reason),
    send: (bytes) => {
      const { kind } = decodeFrame(bytes);
      if (kind === 'step' || kind === 'result') {
        onSend((other) => link.send(other), bytes, link);
      } else {
        link.send(bytes);
      }
    },
  });
}

/** The same, for one frame: the one with number `target`. */
function tamperingOnce(
  target: number,
  onSend: (send: (bytes: Uint8Array<ArrayBuffer>) => void, bytes: Uint8Array<ArrayBuffer>, link: FrameLink) => void,
): NonNullable<LocalEngineOptions['wrapLink']> {
  let numSent = 0;
  return tampering((send, bytes, link) => (numSent++ === target ? onSend(send, bytes, link) : send(bytes)));
}

describe('a link', () => {
  it.each([0, 1, 2, 3, 7, 20, 21, 22])('that is cut at frame %i changes no token', async (target) => {
    const wrapLink = tamperingOnce(target, (_send, _bytes, link) => link.close('cut by the test'));
    const { engine } = await rings.open({ stageCount: STAGE_COUNT, numTokensMax: 16, wrapLink, limits: LIMITS });
    expect(await collect(engine, REQUEST)).toEqual(expected);
    expect((await engine.stats()).numPromptTokensTotal).toBeGreaterThan(0);
  });

  it.each([1, 9])('that loses frame %i is noticed by the deadline', async (target) => {
    const wrapLink = tamperingOnce(target, () => {});
    const timings = { stepDeadlineMsMin: 50, stepDeadlineMsMax: 50 };
    const { engine } = await rings.open({
      stageCount: STAGE_COUNT,
      numTokensMax: 32,
      wrapLink,
      timings,
      limits: LIMITS,
    });
    expect(await collect(engine, REQUEST)).toEqual(expected);
  });

  it('that delivers everything twice changes nothing', async () => {
    const wrapLink = tampering((send, bytes) => {
      send(bytes.slice());
      send(bytes);
    });
    const { engine } = await rings.open({ stageCount: STAGE_COUNT, wrapLink });
    expect(await collect(engine, REQUEST)).toEqual(expected);
    expect((await engine.stats()).numStepsTotal).toBe(1 + 16 - 1);
  });

  it('that flips a bit of the metadata is given up', async () => {
    const wrapLink = tamperingOnce(4, (send, bytes) => {
      const flipped = bytes.slice();
      flipped[50] = Number(flipped[50]) ^ 1;
      send(flipped);
    });
    const { engine } = await rings.open({ stageCount: STAGE_COUNT, wrapLink, limits: LIMITS });
    expect(await collect(engine, REQUEST)).toEqual(expected);
  });

  it('that always breaks ends the request, after some attempts and with all pages back', async () => {
    let numCuts = 0;
    const wrapLink = tampering((_send, _bytes, link) => {
      numCuts++;
      link.close('cut by the test');
    });
    const limits = { ...LIMITS, ringFailuresMax: 2 };
    const { engine } = await rings.open({ stageCount: STAGE_COUNT, wrapLink, limits });
    const events = await collect(engine, REQUEST);
    expect(events).toMatchObject([{ type: 'error', code: 'ring_failed', retryable: true }]);
    expect(numCuts).toBe(3);
    const stats = await engine.stats();
    expect(stats).toMatchObject({ numRunning: 0, numWaiting: 0, numFreePages: stats.numPages });
  });

  it('that breaks under many sequences is replayed for all of them', async () => {
    const requests = [1, 2, 3, 4, 5].map((seed) => ({ ...REQUEST, sampling: { ...REQUEST.sampling, seed } }));
    const whole = await rings.open();
    const answers = await Promise.all(requests.map((request) => collect(whole.engine, request)));
    const wrapLink = tamperingOnce(25, (_send, _bytes, link) => link.close('cut by the test'));
    const { engine } = await rings.open({ stageCount: STAGE_COUNT, wrapLink, limits: LIMITS });
    expect(await Promise.all(requests.map((request) => collect(engine, request)))).toEqual(answers);
  });

  it.each([4, 11, 25, 40, 41, 42, 43])('that is cut at frame %i with several steps in flight', async (target) => {
    const requests = [1, 2, 3, 4, 5].map((seed) => ({ ...REQUEST, sampling: { ...REQUEST.sampling, seed } }));
    const whole = await rings.open();
    const answers = await Promise.all(requests.map((request) => collect(whole.engine, request)));
    const wrapLink = tamperingOnce(target, (_send, _bytes, link) => link.close('cut by the test'));
    // One failure is allowed: the steps that were lost together must count as one.
    const limits = { ...LIMITS, ringFailuresMax: 1 };
    const options = { stageCount: STAGE_COUNT, stepsInFlightMax: STAGE_COUNT, numTokensMax: 32, wrapLink, limits };
    const { engine } = await rings.open(options);
    expect(await Promise.all(requests.map((request) => collect(engine, request)))).toEqual(answers);
    const stats = await engine.stats();
    expect(stats).toMatchObject({ numRunning: 0, numWaiting: 0, numFreePages: stats.numPages });
  });
});

/** Replaces `forward` of one stage's runtime. */
function withForward(
  layerStart: number,
  forward: (runtime: StageRuntime, ...step: Parameters<StageRuntime['forward']>) => void,
): (options: StageRuntimeOptions) => StageRuntime {
  return (options) => {
    const runtime = createStageRuntime(kernels, options);
    if (options.layerStart !== layerStart) {
      return runtime;
    }
    return new Proxy(runtime, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name === 'forward') {
          return (...step: Parameters<StageRuntime['forward']>) => forward(target, ...step);
        }
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
}

describe('a stage', () => {
  it.each([
    ['the head', 0],
    ['a later stage', 2],
  ])('whose kernels trap once is replayed: %s', async (_name, layerStart) => {
    let numCalls = 0;
    const createRuntime = withForward(layerStart, (runtime, sequences) => {
      if (numCalls++ === 5) {
        throw new WebAssembly.RuntimeError('unreachable');
      }
      runtime.forward(sequences);
    });
    const { engine, stages } = await rings.open({ stageCount: STAGE_COUNT, createRuntime, limits: LIMITS });
    expect(await collect(engine, REQUEST)).toEqual(expected);
    expect(stages.every(({ isOpen }) => isOpen)).toBe(true);
  });

  it.each([0, 2])('whose kernels trap has no pages to rely on (layer %i)', async (layerStart) => {
    let numCalls = 0;
    const createRuntime = withForward(layerStart, (runtime, sequences) => {
      if (numCalls++ === 1) {
        throw new WebAssembly.RuntimeError('unreachable');
      }
      runtime.forward(sequences);
    });
    const { ring } = await rings.open({ stageCount: STAGE_COUNT, createRuntime });
    const sequences = [{ sequenceId: 1, startPosition: 0, numTokens: 1, pageTable: [0], resultRows: [0] }];
    const submit = async (): Promise<boolean> =>
      (await ring.submit({ pageOperations: [], sequences, tokenIds: [5] })).ok;
    const reopen = async (): Promise<unknown> => {
      ring.close('a pause');
      return ring.open();
    };
    await ring.open();
    expect(await submit()).toBe(true);
    expect(await reopen()).toEqual({ ok: true, value: { kvKept: true } });
    expect(await submit()).toBe(false);
    expect(await reopen()).toEqual({ ok: true, value: { kvKept: false } });
    expect(await submit()).toBe(true);
    expect(await reopen()).toEqual({ ok: true, value: { kvKept: true } });
  });

  it('that never opens its link ends the request', async () => {
    const { engine } = await rings.open({
      stageCount: STAGE_COUNT,
      wrapLink: (link, fromStageIndex) => {
        if (fromStageIndex === 1) {
          throw new Error('no route to stage 2');
        }
        return link;
      },
      limits: { ...LIMITS, ringFailuresMax: 1 },
    });
    const events = await collect(engine, REQUEST);
    expect(events).toMatchObject([{ type: 'error', code: 'ring_failed', retryable: true }]);
  });

  it('that does not answer is waited for no longer than the deadline', async () => {
    const silent: FrameLink = { attach() {}, send() {}, close() {} };
    const { engine } = await rings.open({
      stageCount: STAGE_COUNT,
      wrapLink: (link, fromStageIndex) => (fromStageIndex === 2 ? silent : link),
      timings: { helloDeadlineMs: 20, openDeadlineMs: 10 },
      limits: { ...LIMITS, ringFailuresMax: 0 },
    });
    expect(await collect(engine, REQUEST)).toMatchObject([{ type: 'error', code: 'ring_failed' }]);
  });
});

describe('stages of different versions', () => {
  const skewed: OpenStageResult = {
    ok: false,
    error: { code: 'version_skew', retryable: true, message: 'another version' },
  };

  /** A ring whose stage 1 is of another version for so many openings. */
  async function openSkewed(numOpenings: number, limits: Partial<EngineLimits>): Promise<LocalEngine> {
    const local = await rings.open({ stageCount: STAGE_COUNT, limits: { ...LIMITS, ...limits } });
    const stage = local.stages[0] as StageNode;
    const openStage = stage.openStage.bind(stage);
    let numOpened = 0;
    stage.openStage = (request) => (numOpened++ < numOpenings ? Promise.resolve(skewed) : openStage(request));
    return local;
  }

  it('are waited for, however often they are asked meanwhile', async () => {
    const { engine } = await openSkewed(5, { ringFailuresMax: 0, reopenDelayMsMax: 1 });
    expect(await collect(engine, REQUEST)).toMatchObject(expected);
  });

  it('are waited for no longer than a deployment takes; then another replica is to be asked', async () => {
    const { engine } = await openSkewed(Infinity, { ringFailuresMax: 0, reopenDelayMsMax: 1, versionSkewMsMax: 10 });
    const events = await collect(engine, REQUEST);
    expect(events).toMatchObject([{ type: 'error', code: 'ring_failed', retryable: true }]);
    expect(JSON.stringify(events)).toContain('another version');
  });
});

describe('an idle ring', () => {
  it('closes all its links, and opens again for the next request', async () => {
    const { engine, ring, stages } = await rings.open({ stageCount: STAGE_COUNT, timings: { idleCloseMs: 5 } });
    expect(await collect(engine, REQUEST)).toEqual(expected);
    await pollStats(engine, () => !ring.isOpen && stages.every(({ isOpen }) => !isOpen));
    expect(await collect(engine, REQUEST)).toEqual(expected);
  });
});

describe('rotation', () => {
  it('replaces the links without computing anything again', async () => {
    const epochs = new Set<number>();
    const wrapLink = tampering((send, bytes) => {
      epochs.add(decodeFrame(bytes).epoch);
      send(bytes);
    });
    const { engine } = await rings.open({ stageCount: STAGE_COUNT, wrapLink, timings: { rotateAfterMs: 0 } });
    expect(await collect(engine, REQUEST)).toEqual(expected);
    expect(epochs.size).toBe(16);
    expect((await engine.stats()).numPromptTokensTotal).toBe(40);
  });

  it('waits for the steps in flight', async () => {
    const requests = [1, 2, 3, 4].map((seed) => ({ ...REQUEST, sampling: { ...REQUEST.sampling, seed } }));
    const whole = await rings.open();
    const answers = await Promise.all(requests.map((request) => collect(whole.engine, request)));
    const options = { stageCount: STAGE_COUNT, stepsInFlightMax: 2, timings: { rotateAfterMs: 0 } };
    const { engine } = await rings.open(options);
    expect(await Promise.all(requests.map((request) => collect(engine, request)))).toEqual(answers);
    expect((await engine.stats()).numPromptTokensTotal).toBe(4 * 40);
  });
});

it('the expected answer is whole', () => {
  expect(tokensOf(expected)).toHaveLength(16);
});
