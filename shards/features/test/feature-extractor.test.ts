/** Features are what the layers say, whatever else the shard does; and they leave nothing behind. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { createStageRuntime } from '../../../wasm/host/stage-runtime.ts';
import { parseManifest } from '../../model/parse-manifest.ts';
import { MANIFEST_BYTES_MAX, MANIFEST_FILE } from '../../model/runtime-host.ts';
import { loadWeights } from '../../model/weight-loader.ts';
import { readAsset } from '../../platform/assets.ts';
import type { Clock } from '../../platform/clock.ts';
import { systemClock } from '../../platform/system.ts';
import type { LocalEngine, LocalEngineOptions } from '../../platform/local/local-engine.ts';
import { collect, pollStats, promptOf, requestOf, tinyRings, tokensOf } from '../../test/tiny-ring.ts';
import { featureRequest, featuresOf, PARTS, readFrames, rowsOf, streamOf } from './support.ts';

const rings = await tinyRings();
const kernels = await loadKernels();

const WINDOW_TOKENS = 16;
/** Below, at and above the borders of pages, and more texts than there are pages for. */
const TEXTS = [1, 2, 15, 16, 3, 9, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4].map((length, i) => promptOf(length, i));

/** Features by the definition: each text alone, layer by layer, pooled in plain loops. */
async function definedFeatures(texts: readonly (readonly number[])[]): Promise<number[][]> {
  const bytes = await readAsset(rings.assets, MANIFEST_FILE, MANIFEST_BYTES_MAX);
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes as Uint8Array)));
  const { config } = manifest;
  const layers = { layerStart: 0, layerEnd: config.numLayers, isHead: true };
  const limits = { numPages: 2, numTokensMax: 32, contextLengthMax: 32, numLogitRowsMax: 1 };
  const runtime = createStageRuntime(kernels, { config, ...layers, ...limits });
  await loadWeights({ manifest, ...layers, assets: rings.assets, weightView: runtime.weightView.bind(runtime) });
  runtime.weightsReady();
  const { hiddenSize } = config;
  return texts.map((tokens) => {
    const sequence = { startPosition: 0, numTokens: tokens.length, pageTable: [0, 1] };
    return PARTS.flatMap(({ numLayers, pooling }) => {
      runtime.embed(tokens);
      runtime.forwardRange([sequence], 0, numLayers);
      return Array.from({ length: hiddenSize }, (_, at) => {
        const values = tokens.map((_token, row) => runtime.hiddenStates[row * hiddenSize + at] ?? NaN);
        return pooling === 'max'
          ? Math.max(...values)
          : Math.fround(values.reduce((sum, value) => Math.fround(sum + value), 0) / tokens.length);
      });
    });
  });
}

const expected = await definedFeatures(TEXTS);

/** The system's clock, but that nothing goes on after so many yields until the gate is opened. */
class YieldGate {
  readonly reached: Promise<void>;
  readonly clock: Clock;
  open = (): void => {};

  constructor(numYields: number) {
    let onReached = (): void => {};
    this.reached = new Promise((resolve) => (onReached = resolve));
    const opened = new Promise<void>((resolve) => (this.open = resolve));
    let numLeft = numYields;
    const yieldToEvents = async (): Promise<void> => {
      await systemClock.yieldToEvents();
      if (--numLeft === 0) {
        onReached();
        await opened;
      }
    };
    this.clock = { ...systemClock, yieldToEvents };
  }
}

/** The reader has its rows a little earlier. */
async function leaseIsGivenBack(local: LocalEngine): Promise<void> {
  for (let turn = 0; turn < 3 && local.headHost.leaseOf('local') !== null; turn++) {
    await systemClock.yieldToEvents();
  }
  expect(local.headHost.leaseOf('local')).toBeNull();
}

/** A runtime that notes the tokens of each call. */
function countedRuntime() {
  const stepTokens: number[] = [];
  const createRuntime: LocalEngineOptions['createRuntime'] = (options) => {
    const runtime = createStageRuntime(kernels, options);
    const forwardRange = runtime.forwardRange.bind(runtime);
    runtime.forwardRange = (sequences, ...layers) => {
      stepTokens.push(sequences.reduce((sum, { numTokens }) => sum + numTokens, 0));
      forwardRange(sequences, ...layers);
    };
    return runtime;
  };
  return { stepTokens, createRuntime };
}

describe('features of texts', () => {
  it('are the pooled hidden states', async () => {
    const local = await rings.open();
    expect(await featuresOf(local, featureRequest({ texts: TEXTS }))).toEqual(expected);
    expect(local.ring.isOpen).toBe(false);
  });

  it('have the same bits on a head of any ring, in steps of any size, in turns of any length', async () => {
    for (const options of [
      { stageCount: 2 },
      { numTokensMax: WINDOW_TOKENS },
      { featureLimits: { turnTokenLayersMax: 1 } },
      { featureLimits: { turnTokenLayersMax: 100 }, stageCount: 2 },
    ]) {
      const local = await rings.open(options);
      expect(await featuresOf(local, featureRequest({ texts: TEXTS }))).toEqual(expected);
    }
  });

  it('have the same bits for requests that come at once, each with parts of its own', async () => {
    const local = await rings.open();
    const [first, ...others] = await Promise.all([
      featuresOf(local, featureRequest({ texts: TEXTS, parts: PARTS.slice(0, 1) })),
      ...TEXTS.map((text) => featuresOf(local, featureRequest({ texts: [text] }))),
    ]);
    expect(others.flat()).toEqual(expected);
    expect(first).toEqual(expected.map((row) => row.slice(0, row.length / PARTS.length)));
  });

  it('are computed with one token more where three would be left over of four, and it changes nothing', async () => {
    const { stepTokens, createRuntime } = countedRuntime();
    // The last one fills a page of 16: behind it is no room.
    const batches = [[15], [3], [14], [16], [4, 9, 10], [3, 16, 16]];
    const texts = batches.map((lengths) => lengths.map((length, salt) => promptOf(length, salt)));
    const defined = await Promise.all(texts.map(definedFeatures));
    const local = await rings.open({ createRuntime });
    // The first one also warms the kernels up.
    await featuresOf(local, featureRequest());
    for (const [index, batch] of texts.entries()) {
      stepTokens.length = 0;
      expect(await featuresOf(local, featureRequest({ texts: batch }))).toEqual(defined[index]);
      expect([...new Set(stepTokens)]).toEqual([[16], [4], [14], [16], [24], [35]][index]);
    }
    const narrow = await rings.open({ createRuntime, numTokensMax: 19 });
    await featuresOf(narrow, featureRequest());
    stepTokens.length = 0;
    await featuresOf(narrow, featureRequest({ texts: [promptOf(16), promptOf(3)] }));
    expect([...new Set(stepTokens)]).toEqual([19]);
  });

  it('of a long text are pooled over windows that do not see each other', async () => {
    const local = await rings.open();
    const text = promptOf(2 * WINDOW_TOKENS + 5);
    const windows = [0, 1, 2].map((i) => text.slice(i * WINDOW_TOKENS, (i + 1) * WINDOW_TOKENS));
    const [whole] = await featuresOf(local, featureRequest({ texts: [text] }));
    const parts = await definedFeatures(windows);
    const size = (whole?.length ?? 0) / PARTS.length;
    for (const at of [size * 2, size * 3, size * 4 - 1]) {
      expect(whole?.[at]).toBe(Math.max(...parts.map((row) => row[at] ?? NaN)));
    }
    for (const at of [0, 1, size]) {
      const sum = parts.reduce((total, row, i) => total + (row[at] ?? NaN) * (windows[i]?.length ?? 0), 0);
      expect(whole?.[at]).toBeCloseTo(sum / text.length, 5);
    }
  });
});

describe('an answer in one piece', () => {
  /** Frames of the answer, and whether it was one piece. */
  async function answerOf(local: LocalEngine, overrides: Parameters<typeof featureRequest>[0]) {
    const answer = await local.features.extractFeatures(featureRequest({ isPieceTaken: true, ...overrides }));
    return { isPiece: answer instanceof Uint8Array, frames: await readFrames(answer) };
  }

  it('is given to who takes it, up to a micro-batch, and to nobody else', async () => {
    const local = await rings.open({ numTokensMax: 32 });
    const small = [promptOf(16, 1), promptOf(16, 2)];
    const { isPiece, frames } = await answerOf(local, { texts: small });
    expect(isPiece).toBe(true);
    expect(frames.at(-1)).toEqual({ kind: 'end', numTokens: 32 });
    expect(rowsOf(frames)).toEqual(await featuresOf(local, featureRequest({ texts: small })));
    expect((await answerOf(local, { texts: [...small, [3]] })).isPiece).toBe(false);
    expect((await answerOf(local, { texts: small, isPieceTaken: false })).isPiece).toBe(false);
  });

  it('is never larger than what a stream may hold back', async () => {
    const hiddenSize = (expected[0]?.length ?? 0) / PARTS.length;
    const streamBytesMax = 2 * PARTS.length * hiddenSize * Float32Array.BYTES_PER_ELEMENT;
    const local = await rings.open({ featureLimits: { streamBytesMax } });
    expect((await answerOf(local, { texts: [[3], [4]] })).isPiece).toBe(true);
    expect((await answerOf(local, { texts: [[3], [4], [5]] })).isPiece).toBe(false);
  });

  it('tells what failed', async () => {
    const local = await rings.open();
    await local.headHost.acquire('other', rings.assets);
    const { isPiece, frames } = await answerOf(local, {});
    expect(isPiece).toBe(true);
    expect(frames).toMatchObject([{ kind: 'error', failure: { code: 'not_ready', retryable: true } }]);
  });
});

describe('beside streams', () => {
  it('take one text at a time where two would be more than a turn', async () => {
    const { stepTokens, createRuntime } = countedRuntime();
    const local = await rings.open({ createRuntime, featureLimits: { stepWaitMsMax: 1, stepShare: 1 } });
    await featuresOf(local, featureRequest());
    // A step of one token counts as two: a turn has as many tokens times layers as two tokens have in all layers.
    const turn = 2 * (local.assignments[0]?.layerEnd ?? 0);
    local.features.pace.stepsBegin();
    const texts = [turn / 2, turn / 2, turn + 2, turn + 3].map((length) => promptOf(length));
    for (const [pair, expectedTokens] of [
      [texts.slice(0, 2), [turn]],
      [texts.slice(2), [turn + 3, turn + 2]],
    ] as const) {
      stepTokens.length = 0;
      await featuresOf(local, featureRequest({ texts: pair.toReversed() }));
      expect([...new Set(stepTokens)]).toEqual(expectedTokens);
    }
    local.features.pace.stepsEnd();
  });

  const chats = [1, 2, 3].map((salt) => requestOf({ promptTokens: promptOf(40, salt), maxTokens: 60 }));

  it.each([1, 2])('neither changes the other (%i stages)', async (stageCount) => {
    const alone = await rings.open({ stageCount });
    const answers = await Promise.all(chats.map((chat) => collect(alone.engine, chat)));
    const local = await rings.open({ stageCount });
    const streams = chats.map((chat) => collect(local.engine, chat));
    await pollStats(local.engine, ({ numStepsTotal }) => numStepsTotal > 0);
    const features = await featuresOf(local, featureRequest({ texts: TEXTS }));
    const together = await Promise.all(streams);
    expect(together).toEqual(answers);
    expect(tokensOf(together[0] ?? [])).toHaveLength(60);
    expect(features).toEqual(expected);
  });

  it('go on when another object had the memory in between', async () => {
    const gate = new YieldGate(2);
    const local = await rings.open({ featureLimits: { turnTokenLayersMax: 1 }, clock: gate.clock });
    const running = featuresOf(local, featureRequest({ texts: TEXTS }));
    await gate.reached;
    local.headHost.release('local');
    const other = await local.headHost.acquire('other', rings.assets);
    if (!other.ok) {
      throw new Error(other.error.message);
    }
    const { runtime } = other.value;
    for (let page = 0; page < runtime.options.numPages; page++) {
      runtime.pages.write(page, new Uint8Array(runtime.pages.pageBytes).fill(0xff));
    }
    runtime.hiddenStates.fill(NaN);
    local.headHost.release('other');
    gate.open();
    expect(await running).toEqual(expected);
  });
});

describe('the lease of the memory', () => {
  it('is given back after the last text, unless the ring has it', async () => {
    const local = await rings.open();
    await featuresOf(local, featureRequest());
    await leaseIsGivenBack(local);
    await collect(local.engine, requestOf());
    await featuresOf(local, featureRequest());
    expect(local.headHost.leaseOf('local')).not.toBeNull();
  });

  it('is refused while another object has it, and the client is told to come back', async () => {
    const local = await rings.open();
    await local.headHost.acquire('other', rings.assets);
    const frames = await readFrames(await local.features.extractFeatures(featureRequest()));
    expect(frames).toMatchObject([{ kind: 'error', failure: { code: 'not_ready', retryable: true } }]);
    local.headHost.release('other');
    expect(await featuresOf(local, featureRequest())).toHaveLength(1);
  });
});

describe('bounds', () => {
  const failureOf = async (local: LocalEngine, overrides: Parameters<typeof featureRequest>[0]): Promise<string> => {
    const frames = await readFrames(await local.features.extractFeatures(featureRequest(overrides)));
    const last = frames.at(-1);
    return last?.kind === 'error' ? `${last.failure.code}: ${last.failure.message}` : 'none';
  };

  it('hold at the limit and one past it', async () => {
    const featureLimits = { textsMax: 3, textTokensMax: 20, partsMax: 4 };
    const local = await rings.open({ featureLimits, stageCount: 2, numTokensMax: 32 });
    const cases: [overrides: Parameters<typeof featureRequest>[0], failure: RegExp][] = [
      [{ texts: [[3], [4], [5]] }, /none/],
      [{ texts: [[3], [4], [5], [6]] }, /4 texts: send 1 to 3/],
      [{ texts: [] }, /0 texts/],
      [{ texts: [promptOf(20)] }, /none/],
      [{ texts: [[3], promptOf(21)] }, /text 1 has 21 tokens: 1 to 20/],
      [{ texts: [[]] }, /text 0 has 0 tokens/],
      [{ texts: [[3, -1]] }, /text 0 holds -1/],
      [{ texts: [[1.5]] }, /text 0 holds 1.5/],
      [{ texts: [[1_000_000]] }, /text 0 holds 1000000/],
      [{ parts: [...PARTS, ...PARTS.slice(0, 1)] }, /5 parts: features have 1 to 4/],
      [{ parts: [] }, /0 parts/],
      [{ parts: [{ numLayers: 3, pooling: 'mean' }] }, /none/],
      [{ parts: [{ numLayers: 4, pooling: 'mean' }] }, /after 4 layers were asked for, the head shard has 3/],
      [{ parts: [{ numLayers: -1, pooling: 'mean' }] }, /after -1 layers/],
      [{ parts: [{ numLayers: 1, pooling: 'median' as 'mean' }] }, /pooling is median/],
      [{ windowTokens: 32 }, /none/],
      [{ windowTokens: 33 }, /a window has 1 to 32 tokens/],
      [{ windowTokens: 0 }, /windowTokens is 0/],
    ];
    for (const [overrides, failure] of cases) {
      expect(await failureOf(local, overrides), JSON.stringify(overrides)).toMatch(failure);
    }
  });

  it('refuse a request when the queue is full, by requests and by tokens', async () => {
    const local = await rings.open({ featureLimits: { requestsMax: 2, queueTokensMax: 10 } });
    const ask = (numTokens: number): Promise<string> => failureOf(local, { texts: [promptOf(numTokens)] });
    // The manifest is read once; after that requests are taken in the order in which they come.
    expect(await ask(1)).toBe('none');
    expect(await Promise.all([ask(1), ask(1), ask(1)])).toEqual([
      'none',
      'none',
      expect.stringMatching(/^queue_full: 2/),
    ]);
    expect(await Promise.all([ask(5), ask(5)])).toEqual(['none', 'none']);
    expect(await Promise.all([ask(5), ask(6)])).toEqual(['none', expect.stringMatching(/^queue_full: 5 tokens wait/)]);
    expect(await ask(11)).toBe('none');
  });

  it('pause a request whose reader does not keep up, without holding up the others', async () => {
    const local = await rings.open({ featureLimits: { streamBytesMax: 1, requestsMax: 2 } });
    const slow = await local.features.extractFeatures(featureRequest({ texts: TEXTS }));
    expect(await featuresOf(local, featureRequest({ texts: TEXTS.slice(0, 3) }))).toEqual(expected.slice(0, 3));
    const frames = await readFrames(slow);
    expect(frames).toHaveLength(TEXTS.length + 1);
  });

  it('give a reader up that takes nothing for too long', async () => {
    const readerStallMs = 12_345;
    const { promise: isPaused, resolve: onPause } = Promise.withResolvers<() => void>();
    const clock: Clock = {
      ...systemClock,
      startTimer(delayMs, callback) {
        if (delayMs === readerStallMs) {
          onPause(callback);
        }
        return delayMs === readerStallMs ? { cancel() {} } : systemClock.startTimer(delayMs, callback);
      },
    };
    const local = await rings.open({ clock, featureLimits: { streamBytesMax: 1, readerStallMs, requestsMax: 1 } });
    const stream = await local.features.extractFeatures(featureRequest({ texts: TEXTS }));
    const giveUp = await isPaused;
    giveUp();
    const frames = await readFrames(stream);
    expect(frames.at(-1)).toMatchObject({ kind: 'error', failure: { code: 'internal', retryable: true } });
    expect(await featuresOf(local, featureRequest({ texts: [[3]] }))).toHaveLength(1);
  });

  it('drop what nobody waits for', async () => {
    const local = await rings.open({ featureLimits: { requestsMax: 1, turnTokenLayersMax: 1 } });
    const stream = streamOf(await local.features.extractFeatures(featureRequest({ texts: TEXTS })));
    await stream.cancel();
    expect(await featuresOf(local, featureRequest())).toHaveLength(1);
    await leaseIsGivenBack(local);
  });
});
