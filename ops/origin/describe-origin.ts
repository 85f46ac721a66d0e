/** Asks an origin what it is: which engine, which models, and what they can do. */
import * as z from 'zod';
import type { OriginConfig } from '../../worker/origin/origin-config.ts';
import type { Capability } from '../../worker/routing/capabilities.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';

export type EngineKind = OriginConfig['engine'];

export interface DescribedModel {
  /** What the origin calls it. */
  readonly name: string;
  readonly capabilities: readonly Capability[];
  /** Tokens of one sequence; null when the engine does not say. */
  readonly contextLength: number | null;
}

export interface DescribedOrigin {
  readonly engine: EngineKind;
  readonly models: readonly DescribedModel[];
  /** Requests that it works on at the same time; null when it does not say. */
  readonly concurrency: number | null;
}

/** Asking for the list of models costs an engine nothing; one that needs longer is not up yet. */
const ANSWER_MS_MAX = 10_000;
const BODY_CHARS_MAX = 300;

/** `owned_by`, as each engine fills it in. */
const ENGINE_OF_OWNER: Readonly<Record<string, EngineKind>> = {
  vllm: 'vllm',
  sglang: 'sglang',
  llamacpp: 'llama.cpp',
};

const modelsSchema = z.object({
  data: z.array(
    z.object({
      id: z.string(),
      owned_by: z.string().optional(),
      /** vLLM and SGLang. */
      max_model_len: z.number().nullish(),
      /** llama.cpp: `n_ctx` is what one slot has. */
      meta: z.object({ n_ctx: z.number().optional() }).nullish(),
      architecture: z.object({ input_modalities: z.array(z.string()).optional() }).nullish(),
    }),
  ),
});

type ListedModel = z.infer<typeof modelsSchema>['data'][number];

/** What every engine that serves a chat model can do; one that cannot refuses, and the refusal goes to the client. */
const CHAT_CAPABILITIES: readonly Capability[] = [
  'chat',
  'completion',
  'tools',
  'json_object',
  'json_schema',
  'reasoning',
];

function describeModel(model: ListedModel): DescribedModel {
  const seesImages = model.architecture?.input_modalities?.includes('image') === true;
  return {
    name: model.id,
    capabilities: seesImages ? [...CHAT_CAPABILITIES, 'image_input'] : CHAT_CAPABILITIES,
    contextLength: model.max_model_len ?? model.meta?.n_ctx ?? null,
  };
}

/** The address below which `/v1` and `/health` lie, whether the operator gave the one or the other. */
export function rootUrl(url: string): string {
  return url.replace(/\/+$/, '').replace(/\/v1$/, '');
}

export function bearer(key: string | null): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** @throws OperatorError `request_failed` with what the origin said and what to do about it. */
export async function describeOrigin(url: string, key: string | null): Promise<DescribedOrigin> {
  const address = `${rootUrl(url)}/v1/models`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(address, { headers: bearer(key), signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    text = await response.text();
  } catch (error) {
    throw new OperatorError(
      'request_failed',
      `The origin does not answer at ${address}: ${messageOf(error)}.`,
      'Start it and wait until it has loaded its model, or check the address. "lamina origin up" starts one here.',
    );
  }
  if (response.status === 401 || response.status === 403) {
    throw new OperatorError(
      'request_failed',
      `The origin at ${address} refuses ${key === null ? 'requests without a key' : 'this key'} (HTTP ${response.status}).`,
      'Give the key that the engine was started with: vLLM has it in --api-key or VLLM_API_KEY.',
    );
  }
  const parsed = modelsSchema.safeParse(parseJson(text));
  if (!response.ok || !parsed.success) {
    throw new OperatorError(
      'request_failed',
      `${address} does not list models as OpenAI's API does: HTTP ${response.status}, ${text.slice(0, BODY_CHARS_MAX)}`,
      'Give the address of a server that speaks the OpenAI API, with or without the final /v1.',
    );
  }
  const [first] = parsed.data.data;
  if (first === undefined) {
    throw new OperatorError('request_failed', `${address} lists no model.`, 'Load one, then try again.');
  }
  const engine = ENGINE_OF_OWNER[first.owned_by ?? ''] ?? 'openai';
  return {
    engine,
    models: parsed.data.data.map(describeModel),
    concurrency: engine === 'llama.cpp' ? await numSlots(url, key) : null,
  };
}

/** llama.cpp works on as many requests as it has slots, and keeps the others waiting without telling. */
async function numSlots(url: string, key: string | null): Promise<number | null> {
  const init = { headers: bearer(key), signal: AbortSignal.timeout(ANSWER_MS_MAX) };
  const response = await fetch(`${rootUrl(url)}/props`, init).catch(() => null);
  const props = z.object({ total_slots: z.number() }).safeParse(parseJson((await response?.text()) ?? ''));
  return props.success ? props.data.total_slots : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
