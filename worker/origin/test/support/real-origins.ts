/** Two real llama.cpp servers with a tiny model, and pools of origins over them, for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Engine, startEngine } from '../../../../ops/origin/engine.ts';
import { homeLayout, resolveHome } from '../../../../ops/support/home.ts';
import { silentProgress } from '../../../../ops/support/progress.ts';
import { type TinyModelOptions, writeTinyGguf } from '../../../../ops/testing/tiny-model.ts';
import { systemClock } from '../../../../shards/platform/system.ts';
import type {
  OriginBackend,
  OriginEvent,
  OriginRequest,
  OriginUsage,
  ServedBy,
  StreamedOperation,
} from '../../origin-backend.ts';
import { parseOrigins } from '../../origin-config.ts';
import { createOriginPool } from '../../origin-pool.ts';
import { Origin } from '../../origin.ts';
import { createTransport } from '../../transport.ts';

export const TOKENS = 24;
const SLOTS = 8;

export interface Engines {
  readonly modelFile: string;
  readonly engines: readonly [Engine, Engine];
  /** Starts one more, on the given port. */
  start(port: number): Promise<Engine>;
  stop(): Promise<void>;
}

/** @param shape changes to the tiny model's own. */
export async function startEngines(shape: TinyModelOptions['shape'] = { contextLengthMax: 4096 }): Promise<Engines> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lamina-origins-'));
  const modelFile = path.join(folder, 'tiny.gguf');
  await writeTinyGguf(modelFile, { shape });
  const start = (port: number): Promise<Engine> =>
    startEngine({
      home: homeLayout(resolveHome(undefined, process.env)),
      env: process.env,
      progress: silentProgress,
      modelFile,
      modelName: 'tiny',
      port,
      slots: SLOTS,
      context: shape.contextLengthMax ?? 512,
      threads: 1,
      key: null,
    });
  // One after the other: the first may have to make the Python environment.
  const engines: [Engine, Engine] = [await start(0), await start(0)];
  return {
    modelFile,
    engines,
    start,
    stop: async () => {
      await Promise.all(engines.map((engine) => engine.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A pool over these URLs, named `a`, `b`, …, that serves `lamina-pro`. */
export function poolOver(urls: readonly string[], config: Record<string, unknown> = {}): OriginBackend {
  const configs = parseOrigins(
    urls.map((url, index) => ({
      id: String.fromCodePoint(97 + index),
      url,
      engine: 'llama.cpp',
      models: [{ public: 'lamina-pro', upstream: 'tiny', capabilities: ['chat', 'completion'] }],
      ...config,
    })),
  );
  const none = { apiKey: null, access: null };
  const origins = configs.map(
    (entry) =>
      new Origin(
        entry,
        createTransport(entry.url, none, (url, init) => fetch(url, init)),
        systemClock,
      ),
  );
  return createOriginPool({ origins, clock: systemClock, random: Math.random });
}

let numRequests = 0;

export function chatRequest(changes: Partial<OriginRequest<StreamedOperation>> = {}): OriginRequest<StreamedOperation> {
  return {
    requestId: `test-${numRequests++}`,
    tenant: 'test',
    operation: 'chat',
    model: 'lamina-pro',
    needs: new Set(['chat']),
    body: {
      messages: [{ role: 'user', content: 'hello there' }],
      max_tokens: TOKENS,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: false,
    },
    affinityKey: null,
    priority: 'normal',
    promptTokensEstimate: 8,
    ...changes,
  };
}

export interface Collected {
  readonly text: string;
  readonly finishReason: string | null;
  readonly completionTokens: number;
  readonly servedBy: ServedBy | null;
  readonly usage: OriginUsage | null;
  readonly hasEnded: boolean;
  readonly error: unknown;
}

/** Reads a stream to its end or failure. @param onChunk called at each chunk. */
export async function collect(
  events: AsyncGenerator<OriginEvent, void, undefined>,
  onChunk: () => void = () => {},
): Promise<Collected> {
  let text = '';
  let finishReason: string | null = null;
  let completionTokens = 0;
  let servedBy: ServedBy | null = null;
  let usage: OriginUsage | null = null;
  let hasEnded = false;
  let error: unknown = null;
  try {
    for await (const event of events) {
      if (event.type === 'served_by') {
        servedBy = event;
      } else if (event.type === 'end') {
        ({ usage } = event);
        hasEnded = true;
      } else {
        const [choice] = event.data.choices as readonly {
          delta?: { content?: string | null };
          finish_reason?: string;
        }[];
        text += choice?.delta?.content ?? '';
        finishReason = choice?.finish_reason ?? finishReason;
        ({ completionTokens } = event);
        onChunk();
      }
    }
  } catch (thrown) {
    error = thrown;
  }
  return { text, finishReason, completionTokens, servedBy, usage, hasEnded, error };
}
