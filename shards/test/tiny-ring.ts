/** Rings of the tiny random model in this process, and what tests ask of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import { fileAssets } from '../../ops/testing/file-assets.ts';
import { convertTinyModel } from '../../ops/testing/tiny-model.ts';
import { loadKernels } from '../../wasm/build.ts';
import type { EngineStats, GenerateEvent, GenerateRequest, HeadClient } from '../engine/protocol.ts';
import type { AssetSource } from '../platform/assets.ts';
import { createLocalEngine, type LocalEngine, type LocalEngineOptions } from '../platform/local/local-engine.ts';
import { GREEDY } from '../sampling/greedy.ts';

/** Tokens that look random and are the same each time. */
export function promptOf(numTokens: number, salt = 0): number[] {
  return Array.from({ length: numTokens }, (_, i) => 3 + ((i * 37 + salt * 101 + ((i * i * 7) % 13)) % 250));
}

export function requestOf(overrides: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    requestId: 'test',
    promptTokens: promptOf(20),
    emittedTokens: [],
    maxTokens: 12,
    sampling: GREEDY,
    stopTokenIds: [],
    numTopLogprobs: null,
    numPromptLogprobs: null,
    cacheSalt: '',
    ...overrides,
  };
}

/** A generation's events, from its whole stream. */
export async function collect(head: HeadClient, request: GenerateRequest): Promise<GenerateEvent[]> {
  return parseEvents(await new Response(await head.generate(request)).text());
}

/** The same whatever the engine had in its cache. */
export async function collectAnswer(head: HeadClient, request: GenerateRequest): Promise<GenerateEvent[]> {
  return answerOf(await collect(head, request));
}

export function answerOf(events: readonly GenerateEvent[]): GenerateEvent[] {
  return events.map((event) => (event.type === 'finish' ? { ...event, cachedTokens: 0 } : event));
}

/** Without what says something about the head, and nothing about the generation. */
export function parseEvents(text: string): GenerateEvent[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as GenerateEvent)
    .filter(({ type }) => type !== 'accepted' && type !== 'alive');
}

export function tokensOf(events: readonly GenerateEvent[]): number[] {
  return events.flatMap((event) => (event.type === 'token' ? [event.tokenId] : []));
}

export interface TinyRings {
  readonly assets: AssetSource;
  /** Opens a ring that is closed when the file's tests end. */
  open(options?: Partial<LocalEngineOptions>): Promise<LocalEngine>;
}

/** Converts the model once for a test file. */
export async function tinyRings(): Promise<TinyRings> {
  const kernels = await loadKernels();
  const folder = mkdtempSync(path.join(tmpdir(), 'lamina-shards-'));
  const assets = fileAssets(await convertTinyModel(folder));
  const opened: LocalEngine[] = [];
  afterAll(() => {
    for (const { ring } of opened) {
      ring.close('the tests are over');
    }
    rmSync(folder, { recursive: true });
  });
  return {
    assets,
    async open(options) {
      const local = await createLocalEngine({ assets, kernels, ...options });
      opened.push(local);
      return local;
    },
  };
}

/** Each takes a microsecond or more, and what is waited for may hang on a timer of some milliseconds. */
const POLLS_MAX = 1_000_000;

/** Lets the event loop turn until the engine's counters satisfy `isDone`. */
export async function pollStats(head: HeadClient, isDone: (stats: EngineStats) => boolean): Promise<EngineStats> {
  for (let poll = 0; poll < POLLS_MAX; poll++) {
    const stats = await head.stats();
    if (isDone(stats)) {
      return stats;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`the condition did not come true: ${JSON.stringify(await head.stats())}`);
}
