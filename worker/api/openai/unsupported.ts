/**
 * Parameters of OpenAI's API that are refused by name, so that nobody relies on something that does not happen. A value
 * that asks for what happens anyway is let through.
 */
import { badRequest } from './errors.ts';

type NeutralValues = readonly unknown[] | ((value: unknown) => boolean);

const isTextFormat = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'type' in value &&
  value.type === 'text' &&
  Object.keys(value).length === 1;
const isTextModality = (value: unknown): boolean => Array.isArray(value) && value.length === 1 && value[0] === 'text';

/** Name → values that change nothing. */
export const UNSUPPORTED_CHAT_PARAMETERS: Readonly<Record<string, NeutralValues>> = {
  audio: [],
  function_call: ['none'],
  functions: [],
  metadata: [],
  modalities: isTextModality,
  moderation: [],
  parallel_tool_calls: [],
  prediction: [],
  prompt_cache_retention: [],
  reasoning_effort: ['none'],
  response_format: isTextFormat,
  safety_identifier: [],
  service_tier: ['auto', 'default'],
  store: [false],
  tool_choice: ['none'],
  tools: [],
  verbosity: [],
  web_search_options: [],
};

export const UNSUPPORTED_COMPLETION_PARAMETERS: Readonly<Record<string, NeutralValues>> = {
  best_of: [1],
  suffix: [''],
};

/** What no origin is asked for either: it could not be kept, or an engine would ignore it. */
export const ORIGIN_UNSUPPORTED_CHAT_PARAMETERS: Readonly<Record<string, NeutralValues>> = {
  audio: [],
  function_call: ['none'],
  functions: [],
  metadata: [],
  modalities: isTextModality,
  moderation: [],
  prediction: [],
  prompt_cache_retention: [],
  safety_identifier: [],
  service_tier: ['auto', 'default'],
  store: [false],
  verbosity: [],
  web_search_options: [],
};

export const ORIGIN_UNSUPPORTED_COMPLETION_PARAMETERS: Readonly<Record<string, NeutralValues>> = {
  best_of: [1],
};

/**
 * @returns the body without neutral values and without nulls, which OpenAI takes for "not given".
 * @throws ApiError naming the first parameter that is not supported.
 */
export function refuseUnsupported(body: unknown, unsupported: Readonly<Record<string, NeutralValues>>): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return body;
  }
  const kept: [string, unknown][] = [];
  for (const [name, value] of Object.entries(body)) {
    const neutral = Object.hasOwn(unsupported, name) ? unsupported[name] : undefined;
    if (value === null) {
      continue;
    }
    if (neutral === undefined) {
      kept.push([name, value]);
    } else if (!(typeof neutral === 'function' ? neutral(value) : neutral.includes(value))) {
      throw badRequest(
        `The parameter '${name}' is not supported by this model. Remove it.`,
        name,
        'unsupported_parameter',
      );
    }
  }
  return Object.fromEntries(kept);
}
