/** A gateway with classifiers whose alarms a test fires, and examples that words without meaning give away. */
import { expect } from 'vitest';
import type { Tenant } from '../../auth/keyring.ts';
import { classifyTexts, type Classified } from '../../classify/classify-texts.ts';
import { createGateway, createRouteDeps } from '../../gateway.ts';
import { LocalClassifiers, type LocalClassifiersOptions } from './local-classifiers.ts';
import type { TestGateway } from './real-gateway.ts';

export const SUBJECTS = [
  'the card',
  'my order',
  'this bill',
  'the parcel',
  'our flight',
  'a room',
  'the shoes',
  'her phone',
] as const;
export const PATTERNS: Readonly<Record<string, (subject: string) => string>> = {
  cancel: (subject) => `please cancel ${subject} zzz`,
  refund: (subject) => `i want my money back for ${subject} qqq`,
  where: (subject) => `where is ${subject} www`,
};

export interface WireExample {
  readonly text: string;
  readonly label: string;
}

export const EXAMPLES: readonly WireExample[] = Object.entries(PATTERNS).flatMap(([label, pattern]) =>
  SUBJECTS.map((subject) => ({ text: pattern(subject), label })),
);

export const UNSEEN = ['please cancel the boat zzz', 'i want my money back for the boat qqq', 'where is the boat www'];
export const UNSEEN_LABELS = ['cancel', 'refund', 'where'];

export interface ClassifierBody {
  readonly id: string;
  readonly status: string;
  readonly version: number | null;
  readonly num_examples: number;
  readonly versions: readonly { readonly version: number; readonly accuracy: number | null }[];
  readonly progress: { readonly phase: string; readonly fraction: number; readonly num_features: number } | null;
  readonly error: string | null;
}

export function classifierGateway(real: TestGateway, options: LocalClassifiersOptions = {}) {
  const classifiers = new LocalClassifiers(real.deps, options);
  const routeDeps = createRouteDeps(classifiers.deps);
  const app = createGateway(classifiers.deps, routeDeps);
  const request = (path: string, init: RequestInit = {}, key = 'sk-local') =>
    app.request(path, {
      ...init,
      headers: { authorization: `Bearer ${key}`, ...(init.headers as Record<string, string>) },
    });
  const send = (path: string, contentType: string, body: string | FormData, key = 'sk-local') =>
    request(
      path,
      { method: 'POST', body, ...(contentType === '' ? {} : { headers: { 'content-type': contentType } }) },
      key,
    );
  const json = (path: string, body: unknown) => send(path, 'application/json', JSON.stringify(body));
  const get = async (id: string): Promise<ClassifierBody> =>
    (await (await request(`/v1/classifiers/${id}`)).json()) as ClassifierBody;
  const create = async (examples: readonly unknown[] = EXAMPLES, more: object = {}): Promise<ClassifierBody> => {
    const response = await json('/v1/classifiers', { name: 'support', examples, ...more });
    expect(response.status).toBe(202);
    return (await response.json()) as ClassifierBody;
  };
  const tenantOf = (): string => [...classifiers.objects.keys()][0]?.split('/')[0] ?? '';
  const classify = async (id: string, texts: readonly string[], version: number | null = null): Promise<Classified> => {
    const named = { tenant: tenantOf() as Tenant, id, version };
    const result = await classifyTexts(routeDeps.classify, named, texts, new AbortController().signal);
    if (!result.ok) {
      throw new Error(result.error.reason);
    }
    return result.value;
  };
  const answers = async (id: string, texts: readonly string[], version: number | null = null): Promise<string[]> => {
    const { labels, predictions } = await classify(id, texts, version);
    return predictions.map(({ bestIndex }) => labels[bestIndex] ?? '');
  };
  return { classifiers, routeDeps, request, send, json, get, create, classify, answers, tenantOf };
}
