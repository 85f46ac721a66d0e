/** How busy an engine says it is: the only way to see from outside that aborted work was really dropped. */
import type { EngineKind } from '../describe-origin.ts';
import { get, type OriginClient } from './origin-client.ts';

/** Metrics that the gateway, the autoscaler and these checks read, by engine. */
export const METRICS: Readonly<Record<EngineKind, readonly string[]>> = {
  vllm: [
    'vllm:num_requests_running',
    'vllm:num_requests_waiting',
    'vllm:kv_cache_usage_perc',
    'vllm:time_to_first_token_seconds_count',
    'vllm:generation_tokens_total',
  ],
  sglang: ['sglang:num_running_reqs', 'sglang:num_queue_reqs', 'sglang:token_usage', 'sglang:generation_tokens_total'],
  'llama.cpp': ['llamacpp:requests_processing', 'llamacpp:requests_deferred', 'llamacpp:tokens_predicted_total'],
  openai: [],
};

const RUNNING: Readonly<Record<EngineKind, string | null>> = {
  vllm: 'vllm:num_requests_running',
  sglang: 'sglang:num_running_reqs',
  'llama.cpp': null,
  openai: null,
};

const GENERATED: Readonly<Record<EngineKind, string | null>> = {
  vllm: 'vllm:generation_tokens_total',
  sglang: 'sglang:generation_tokens_total',
  'llama.cpp': 'llamacpp:tokens_predicted_total',
  openai: null,
};

/** Values by name, summed over the series of a name: an engine with several parts has one series for each. */
export function parseMetrics(text: string): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{.*\})?\s+(\S+)/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) {
      values.set(match[1], (values.get(match[1]) ?? 0) + Number(match[2]));
    }
  }
  return values;
}

/** Requests that the engine works on at this moment; null when it does not tell. */
export async function numRunning(client: OriginClient, engine: EngineKind): Promise<number | null> {
  if (engine === 'llama.cpp') {
    // The slots are true at once; the metric lags by a step.
    const { status, body } = await get(client, '/slots');
    return status === 200 && Array.isArray(body) ? body.filter(isProcessing).length : null;
  }
  return metric(client, RUNNING[engine]);
}

/** Tokens that the engine has generated since it started; null when it does not tell. */
export function numGenerated(client: OriginClient, engine: EngineKind): Promise<number | null> {
  return metric(client, GENERATED[engine]);
}

async function metric(client: OriginClient, name: string | null): Promise<number | null> {
  if (name === null) {
    return null;
  }
  const { status, text } = await get(client, '/metrics');
  return status === 200 ? (parseMetrics(text).get(name) ?? null) : null;
}

function isProcessing(slot: unknown): boolean {
  return typeof slot === 'object' && slot !== null && 'is_processing' in slot && slot.is_processing === true;
}
