/** The few calls of the classification API that the bench makes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../../support/operator-error.ts';
import { promptOf } from '../prompts.ts';
import type { Target } from '../streams.ts';

/** Training takes some seconds; this many looks, a pause apart, are two minutes. */
const LOOKS_MAX = 240;
const LOOK_PAUSE_MS = 500;

/** Texts of one label: enough to train with, few enough to be done at once. */
const TEXTS_PER_LABEL = 12;

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

/** About 15 tokens that nobody has seen before. */
export function shortText(seed: number): string {
  return `${promptOf(9, seed).split('\n')[0] ?? ''} please`;
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

export async function classify(target: Target, classifier: string, input: string | readonly string[]): Promise<void> {
  await call(target, '/v1/classify', { input, classifier });
}

/** The text as a chat's only message, up to its first token. */
export async function prefillForChat(target: Target, text: string): Promise<void> {
  const messages = [{ role: 'user', content: text }];
  await call(target, '/v1/chat/completions', { model: target.model, messages, max_tokens: 1, temperature: 0 });
}
