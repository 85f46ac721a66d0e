/**
 * The memory of every isolate against the plan, with the default model and plan: the WebAssembly memory of each stage
 * as it is created, and the JavaScript heaps of the running platform, after prompts and answers in parallel.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NUM_FEATURE_PAGES } from '../../../shards/model/assignment.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { createStageRuntime } from '../../../wasm/host/stage-runtime.ts';
import { ISOLATE_BUDGET_BYTES } from '../../plan/limits.ts';
import { GATEWAY_SCRIPT_NAME, LITE_MODEL_ID, stageScriptName } from '../../plan/topology.ts';
import { homeLayout } from '../../support/home.ts';
import { silentProgress } from '../../support/progress.ts';
import { createTestHome, type TestHome } from '../../testing/test-home.ts';
import { type Platform, startPlatform } from '../platform.ts';
import { type PreparedModel, prepareModel } from '../prepare.ts';
import { heapAfterCollection } from './inspector.ts';

let testHome: TestHome;
let prepared: PreparedModel;
let platform: Platform;

const chat = async (content: string, maxTokens: number): Promise<void> => {
  const response = await fetch(new URL('/v1/chat/completions', platform.url), {
    method: 'POST',
    headers: { authorization: 'Bearer sk-local', 'content-type': 'application/json' },
    body: JSON.stringify({
      model: LITE_MODEL_ID,
      messages: [{ role: 'user', content }],
      temperature: 0,
      max_tokens: maxTokens,
    }),
  });
  const body = await response.text();
  if (!response.ok) {
    throw new Error(body);
  }
};

beforeAll(async () => {
  testHome = await createTestHome();
  const shared = { home: homeLayout(testHome.path), env: process.env, progress: silentProgress };
  prepared = await prepareModel(undefined, {}, shared);
  platform = await startPlatform({
    ...shared,
    prepared,
    port: 0,
    numReplicas: 1,
    numProcesses: 1,
    onLog: () => undefined,
    inspectorPort: 0,
  });
  const question = 'Tell me what you know about rivers, lakes and the sea. '.repeat(10);
  await Promise.all(Array.from({ length: 8 }, (_, index) => chat(`${index} ${question}`, 16)));
});

afterAll(async () => {
  await platform?.stop();
  await testHome?.remove();
});

/** Bytes of JavaScript that are alive in the isolate of a script. */
const heapOf = async (scriptName: string): Promise<number> => {
  const { inspectorUrl } = platform;
  if (inspectorUrl === null) {
    throw new Error('The platform was started without an inspector.');
  }
  const usage = await heapAfterCollection(inspectorUrl, scriptName, () => chat('Hi', 1));
  return usage.totalSize + usage.backingStorageSize;
};

describe('the default plan', () => {
  it('gives every isolate, the gateway included, no more than the budget', () => {
    const totals = [...prepared.plan.stages, prepared.plan.gateway].map((isolate) => isolate.totalBytes);
    expect(totals.length).toBeGreaterThan(1);
    expect(Math.max(...totals)).toBeLessThanOrEqual(ISOLATE_BUDGET_BYTES);
  });

  it('is the size of the WebAssembly memory that each stage creates', async () => {
    const kernels = await loadKernels();
    const { plan, manifest } = prepared;
    for (const stage of plan.stages) {
      const isHead = stage.stageIndex === 0;
      const runtime = createStageRuntime(kernels, {
        config: manifest.config,
        layerStart: stage.layerStart,
        layerEnd: stage.layerEnd,
        isHead,
        numPages: isHead ? plan.numPages + NUM_FEATURE_PAGES : plan.numPages,
        numTokensMax: plan.numTokensMax,
        contextLengthMax: plan.contextLength,
        numLogitRowsMax: plan.numLogitRowsMax,
      });
      expect(runtime.memory.buffer.byteLength).toBe(stage.arena.totalBytes);
    }
  });

  it('has room for the heap of every stage', async () => {
    for (const stage of prepared.plan.stages) {
      expect(await heapOf(stageScriptName(prepared.plan.model, 0, stage.stageIndex))).toBeLessThan(stage.heapBytes);
    }
  });

  it("has room for the gateway's heap with the tokenizer's tables", async () => {
    const heap = await heapOf(GATEWAY_SCRIPT_NAME);
    expect(heap).toBeGreaterThan(prepared.plan.gateway.tokenizerBytes / 4);
    expect(heap).toBeLessThan(prepared.plan.gateway.totalBytes);
  });
});
