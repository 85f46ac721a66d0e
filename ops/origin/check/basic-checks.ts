/** Whether the origin answers, to whom, and in the right form. */
import { type Check, describeAnswer, fail, notApplicable, pass } from './check-result.ts';
import { METRICS, parseMetrics } from './engine-load.ts';
import { chat, get, streamChat } from './origin-client.ts';

const HELLO = { messages: [{ role: 'user', content: 'Say hello.' }], max_tokens: 8, temperature: 0 };
/** The smallest generation there is. */
const CANARY = { ...HELLO, max_tokens: 1 };

const keyCheck: Check = {
  name: 'key',
  run: async ({ client }) => {
    if (client.key === null) {
      return notApplicable('no --key was given; an origin that is reached over a network needs one');
    }
    const { status } = await get({ ...client, key: null }, '/v1/models');
    return status === 401 || status === 403
      ? pass('requests without the key are refused')
      : fail(
          `a request without the key got HTTP ${status}`,
          'Start the engine with a key: --api-key, or VLLM_API_KEY.',
        );
  },
};

const chatCheck: Check = {
  name: 'chat',
  run: async ({ client }) => {
    const answer = await chat(client, HELLO);
    const usage = answer.body?.['usage'] as { completion_tokens?: number } | undefined;
    const choices = answer.body?.['choices'];
    if (answer.status !== 200 || !Array.isArray(choices) || choices.length !== 1) {
      return fail(describeAnswer(answer), 'The gateway needs POST /v1/chat/completions as OpenAI has it.');
    }
    return (usage?.completion_tokens ?? 0) > 0
      ? pass(`${usage?.completion_tokens ?? 0} tokens, with usage`)
      : fail('the answer has no usage', 'The gateway bills by it: use an engine that counts.');
  },
};

const streamCheck: Check = {
  name: 'chat, streaming',
  run: async ({ client }) => {
    const end = await streamChat(client, HELLO);
    const problems = [
      ...(end.status === 200 ? [] : [describeAnswer(end)]),
      ...(end.finishReasons.length === 1 ? [] : [`${end.finishReasons.length} finish reasons instead of one`]),
      ...(end.usage === null ? ['no usage although stream_options.include_usage was set'] : []),
      ...(end.isDone ? [] : ['no final [DONE]']),
    ];
    return problems.length === 0
      ? pass(`${end.numChunks} chunks, one finish reason, usage, [DONE]`)
      : fail(
          problems.join('; '),
          'The gateway takes such a stream for a cut one. Look for a proxy that alters streams.',
        );
  },
};

const healthCheck: Check = {
  name: 'health',
  run: async ({ client }) => {
    const [health, canary] = await Promise.all([get(client, '/health'), chat(client, CANARY)]);
    const isHealthy = health.status === 200;
    const isAlive = canary.status === 200;
    if (isHealthy && isAlive) {
      return pass('/health says so, and a token is generated');
    }
    if (isHealthy) {
      return fail(
        `/health says 200 while a one-token request gets ${describeAnswer(canary)}`,
        'Probe by generating: ops/origin/cluster has such a probe. Restart the engine.',
      );
    }
    return isAlive
      ? fail(
          `it generates, but /health answers ${describeAnswer(health)}`,
          'The gateway probes GET /health: let it through.',
        )
      : fail(`neither healthy nor alive: ${describeAnswer(canary)}`, 'Look at the log of the engine.');
  },
};

const METRICS_ADVICE: Readonly<Record<string, string>> = {
  vllm: 'Use vLLM with the V1 engine and let GET /metrics through: the autoscaler and the gateway read these.',
  sglang: 'Start SGLang with --enable-metrics.',
  'llama.cpp': 'Start llama-server with --metrics.',
};

const metricsCheck: Check = {
  name: 'metrics',
  run: async ({ client, engine }) => {
    const names = METRICS[engine];
    const advice = METRICS_ADVICE[engine];
    if (advice === undefined) {
      return notApplicable('which metrics an unknown engine has is not known; the gateway goes by its own counts');
    }
    const { status, text } = await get(client, '/metrics');
    const values = parseMetrics(text);
    const missing = status === 200 ? names.filter((name) => !values.has(name)) : names;
    return missing.length === 0
      ? pass(`${names.length} names that the gateway and the autoscaler read`)
      : fail(`GET /metrics (HTTP ${status}) lacks ${missing.join(', ')}`, advice);
  },
};

export const BASIC_CHECKS: readonly Check[] = [keyCheck, chatCheck, streamCheck, healthCheck, metricsCheck];
