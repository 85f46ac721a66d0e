/**
 * Our engine in a fresh process: one stage, no platform around it. Reads one JSON request a line from standard input and
 * answers each with one line; ends with its input. `lamina bench compare` copies this file into an older tree, so it
 * imports only what every tree has.
 */
import { createInterface } from 'node:readline';
import type { EngineLimits } from '../../../shards/engine/limits.ts';
import type { GenerateEvent } from '../../../shards/engine/protocol.ts';
import { createLocalEngine } from '../../../shards/platform/local/local-engine.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { fileAssets } from '../../testing/file-assets.ts';
import type { CompletionTiming } from './subject.ts';
import { GREEDY } from '../../../shards/sampling/greedy.ts';

/** A line of standard input. */
export interface ChildRequest {
  readonly tokens: readonly number[];
  readonly maxTokens: number;
}

/** One token a step: what drafts gain depends on the text. A tree without speculation does not look at it. */
const LIMITS: Partial<EngineLimits> & { readonly draftStepTokensMax: number } = { draftStepTokensMax: 1 };

const [folder = '', contextTokens = '0'] = process.argv.slice(2);
const { engine, ring } = await createLocalEngine({
  assets: fileAssets(folder),
  kernels: await loadKernels(),
  contextLengthMax: Number(contextTokens),
  limits: LIMITS,
});
let numRequests = 0;

/** Times of the tokens of one greedy generation. */
async function complete({ tokens, maxTokens }: ChildRequest): Promise<CompletionTiming> {
  const startMs = performance.now();
  const stream = await engine.generate({
    requestId: `bench-${(numRequests += 1)}`,
    promptTokens: tokens,
    emittedTokens: [],
    maxTokens,
    sampling: GREEDY,
    stopTokenIds: [],
    numTopLogprobs: null,
    numPromptLogprobs: null,
    // Pages are shared between equal salts only: no request finds its prompt already computed.
    cacheSalt: `bench-${numRequests}`,
  });
  const arrivalsMs: number[] = [];
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as GenerateEvent;
      if (event.type === 'error') {
        throw new Error(`${event.code}: ${event.message}`);
      }
      if (event.type === 'token') {
        arrivalsMs.push(performance.now());
      }
    }
  }
  const firstMs = arrivalsMs[0] ?? Number.NaN;
  const lastMs = arrivalsMs.at(-1) ?? Number.NaN;
  return {
    promptTokens: tokens.length,
    promptMs: firstMs - startMs,
    decodedTokens: arrivalsMs.length - 1,
    decodeMs: lastMs - firstMs,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await complete(JSON.parse(line) as ChildRequest).catch((error: unknown) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
ring.close('the bench has ended');
// The engine's timers would keep the process for seconds.
process.exit(0);
