/** How loaded an engine is, read from its metrics page in Prometheus' text format. */
import type { EngineLoad } from './origin-backend.ts';

/** Names of one gauge in vLLM (V1), SGLang and llama.cpp. The V0 names of vLLM are gone from engines of today. */
const NAMES: Readonly<Record<keyof EngineLoad, readonly string[]>> = {
  running: ['vllm:num_requests_running', 'sglang:num_running_reqs', 'llamacpp:requests_processing'],
  waiting: ['vllm:num_requests_waiting', 'sglang:num_queue_reqs', 'llamacpp:requests_deferred'],
  kvCacheUsage: ['vllm:kv_cache_usage_perc', 'sglang:token_usage', 'llamacpp:kv_cache_usage_ratio'],
};

/** `name{labels} value`, and perhaps a timestamp. */
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})?\s+(\S+)(?:\s+\d+)?$/;

/** Counts of several engines behind one origin add up; of their cache usages the highest counts. */
export function readEngineLoad(page: string): EngineLoad {
  const load: { -readonly [Field in keyof EngineLoad]: number | null } = {
    running: null,
    waiting: null,
    kvCacheUsage: null,
  };
  for (const line of page.split('\n')) {
    const [, name, value] = SAMPLE.exec(line.trim()) ?? [];
    const number = Number(value);
    if (name === undefined || !Number.isFinite(number)) {
      continue;
    }
    for (const field of ['running', 'waiting', 'kvCacheUsage'] as const) {
      if (NAMES[field].includes(name)) {
        const before = load[field] ?? 0;
        load[field] = field === 'kvCacheUsage' ? Math.max(before, number) : before + number;
      }
    }
  }
  return load;
}
