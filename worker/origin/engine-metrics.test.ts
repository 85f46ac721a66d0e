import { expect, it } from 'vitest';
import { readEngineLoad } from './engine-metrics.ts';

it.each([
  [
    'vLLM V1',
    `# HELP vllm:num_requests_running Number of requests\n# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="glm"} 3.0\nvllm:num_requests_running{engine="1",model_name="glm"} 4.0
vllm:num_requests_waiting{engine="0",model_name="glm"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="glm"} 0.25\nvllm:kv_cache_usage_perc{engine="1"} 0.5\n`,
    { running: 7, waiting: 2, kvCacheUsage: 0.5 },
  ],
  [
    'SGLang',
    'sglang:num_running_reqs{model_name="m"} 1\nsglang:num_queue_reqs{model_name="m"} 0\nsglang:token_usage 1e-1 1700000000',
    { running: 1, waiting: 0, kvCacheUsage: 0.1 },
  ],
  [
    'llama.cpp',
    'llamacpp:requests_processing 2\r\nllamacpp:requests_deferred 1\r\n',
    { running: 2, waiting: 1, kvCacheUsage: null },
  ],
  ['none', '<html>\nvllm:num_requests_running NaN\n', { running: null, waiting: null, kvCacheUsage: null }],
])('reads the load of %s', (_name, page, load) => {
  expect(readEngineLoad(page)).toEqual(load);
});
