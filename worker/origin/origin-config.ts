/**
 * The configured origins: the variable `ORIGINS`, a JSON list. Secrets are not in it: it names the variables or secrets
 * of the Worker that hold them, so that it can be committed and shown.
 */
import * as z from 'zod';
import { CAPABILITIES } from '../routing/capabilities.ts';

/** Origins in the list. More than a gateway can probe within one request's subrequests. */
export const ORIGINS_MAX = 16;

const secretName = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]*$/, 'must be the name of a variable or secret, such as ORIGIN_A_KEY, not the secret itself');

const originModelSchema = z.strictObject({
  /** Public id, as the catalogue has it. */
  public: z.string().min(1),
  /** Name of the model at the origin. */
  upstream: z.string().min(1),
  capabilities: z.array(z.enum(CAPABILITIES)).min(1),
  /** In tokens, when it is known. */
  contextLength: z.int().positive().optional(),
  /** Reads GLM's tool calls out of the text (`name\n{json}`), for engines that have no parser for them. */
  toolCallText: z.boolean().default(false),
  /**
   * Moves the model's thinking to `reasoning_content`, for engines that do not. `pair`: the text has `<think>` and
   * `</think>`; `closing`: only the second, since the chat template writes the first.
   */
  thinkTags: z.enum(['none', 'pair', 'closing']).default('none'),
  /** Asks another origin too when the first token is late; both origins must have it. It doubles the prefill, so it is off. */
  hedging: z.strictObject({ enabled: z.boolean() }).default({ enabled: false }),
});

const originSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be up to 32 of a-z, 0-9 and -'),
    transport: z.enum(['vpc', 'access', 'mtls', 'url']).default('url'),
    /** Base, with which OpenAI's paths begin; a final `/v1` may be there or not. */
    url: z.url({ protocol: /^https?$/ }),
    /** Binding of the VPC Service or of the mTLS certificate. */
    binding: z.string().min(1).optional(),
    /** Which engine it is: what it is told beside OpenAI's fields, and where its load is read. `openai` is any other. */
    engine: z.enum(['vllm', 'sglang', 'llama.cpp', 'openai']).default('openai'),
    models: z.array(originModelSchema).min(1).max(64),
    /** Share of the requests, in relation to the other origins. */
    weight: z.number().positive().max(100).default(1),
    /** Requests that run there at the same time. */
    concurrency: z.int().positive().max(1024).default(32),
    /** Requests that may wait in the gateway for one of those to end; 0 refuses at once. */
    queueMax: z.int().nonnegative().max(1024).default(64),
    credentials: z
      .strictObject({
        /** Sent as `Authorization: Bearer`. */
        apiKeySecret: secretName.optional(),
        /** Service token of Cloudflare Access. */
        accessClientIdSecret: secretName.optional(),
        accessClientSecretSecret: secretName.optional(),
      })
      .default({}),
  })
  .superRefine((origin, context) => {
    const fail = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message });
    const needsBinding = origin.transport === 'vpc' || origin.transport === 'mtls';
    if (needsBinding && origin.binding === undefined) {
      fail(['binding'], `the transport '${origin.transport}' needs the name of its binding`);
    }
    if (!needsBinding && origin.binding !== undefined) {
      fail(['binding'], `the transport '${origin.transport}' has no binding; leave it out, or use 'vpc' or 'mtls'`);
    }
    const { accessClientIdSecret: id, accessClientSecretSecret: secret } = origin.credentials;
    if ((id === undefined) !== (secret === undefined) || (origin.transport === 'access' && id === undefined)) {
      fail(['credentials'], 'a service token has two parts: accessClientIdSecret and accessClientSecretSecret');
    }
    if (origin.engine === 'llama.cpp' && origin.models.some((model) => model.capabilities.includes('infill'))) {
      fail(['models'], "llama.cpp's completions ignore 'suffix'; leave out the capability 'infill'");
    }
    const names = origin.models.map((model) => model.public);
    const repeated = names.find((name, index) => names.indexOf(name) !== index);
    if (repeated !== undefined) {
      fail(['models'], `the model '${repeated}' is there twice`);
    }
  });

export type OriginConfig = z.infer<typeof originSchema>;
export type OriginModelConfig = z.infer<typeof originModelSchema>;

/**
 * @param value the variable `ORIGINS`: a JSON text, or what it parses to; none configured when undefined or empty.
 * @throws Error naming the field that is wrong and what it should be.
 */
export function parseOrigins(value: unknown): readonly OriginConfig[] {
  if (value === undefined || value === '') {
    return [];
  }
  const parsed = z
    .array(originSchema)
    .max(ORIGINS_MAX)
    .safeParse(typeof value === 'string' ? readJson(value) : value);
  if (!parsed.success) {
    throw new Error(`The variable ORIGINS is not valid: ${z.prettifyError(parsed.error)}`);
  }
  const ids = parsed.data.map((origin) => origin.id);
  const repeated = ids.find((id, index) => ids.indexOf(id) !== index);
  if (repeated !== undefined) {
    throw new Error(`The variable ORIGINS is not valid: two origins have the id '${repeated}'`);
  }
  return parsed.data;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('The variable ORIGINS is not valid: it must be a JSON list of origins');
  }
}
