/** The few calls of the API that the bench makes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../../support/operator-error.ts';
import type { Target } from '../streams.ts';
import { shortText, systemText } from './texts.ts';

/** Training takes some seconds; this many looks, a pause apart, are two minutes. */
const LOOKS_MAX = 240;
const LOOK_PAUSE_MS = 500;

/** Texts of one label: enough to train with, few enough to be done at once. */
const TEXTS_PER_LABEL = 12;

/** Tokens of what was asked, as the platform counts them. */
export interface PromptUsage {
  readonly promptTokens: number;
  /** Of these, the ones that were not computed. */
  readonly cachedTokens: number;
}

async function call(target: Target, path: string, body?: object): Promise<unknown> {
  const response = await fetch(`${target.url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${target.key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new OperatorError('request_failed', `${target.name} answered ${path} with ${response.status}: ${text}`);
  }
  return JSON.parse(text);
}

/** @returns the id of a classifier with two labels that is ready */
export async function trainClassifier(target: Target): Promise<string> {
  const examples = Array.from({ length: 2 * TEXTS_PER_LABEL }, (_, index) => ({
    text: `${index % 2 === 0 ? 'I like' : 'I lost'} ${shortText(index)}`,
    label: index % 2 === 0 ? 'likes' : 'losses',
  }));
  const { id } = (await call(target, '/v1/classifiers', { name: 'bench', examples })) as { id: string };
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const { status } = (await call(target, `/v1/classifiers/${id}`)) as { status: string };
    if (status === 'ready') {
      return id;
    }
    if (status === 'failed') {
      break;
    }
    await sleep(LOOK_PAUSE_MS);
  }
  throw new OperatorError('request_failed', `The classifier ${id} of ${target.name} did not become ready.`);
}

export async function classify(
  target: Target,
  classifier: string,
  input: string | readonly string[],
): Promise<PromptUsage> {
  return usageOf(await call(target, '/v1/classify', { input, classifier }));
}

/** The text as a chat's only message, up to its first token: what every such chat begins with is in the prefix cache. */
export function prefillForChat(target: Target, text: string): Promise<PromptUsage> {
  return firstToken(target, [{ role: 'user', content: text }]);
}

/** The same with a system message that is as long as the template's own, and new: next to nothing of it is in the cache. */
export function prefillColdForChat(target: Target, text: string, seed: number): Promise<PromptUsage> {
  return firstToken(target, [
    { role: 'system', content: systemText(seed) },
    { role: 'user', content: text },
  ]);
}

async function firstToken(target: Target, messages: readonly object[]): Promise<PromptUsage> {
  const body = { model: target.model, messages, max_tokens: 1, temperature: 0 };
  return usageOf(await call(target, '/v1/chat/completions', body));
}

function usageOf(answer: unknown): PromptUsage {
  const { usage } = answer as {
    usage: { prompt_tokens: number; prompt_tokens_details?: { cached_tokens?: number } | null };
  };
  return { promptTokens: usage.prompt_tokens, cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0 };
}
