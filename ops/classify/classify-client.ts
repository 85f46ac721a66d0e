/** Classifiers of a running platform over HTTP: see `worker/api/classify`. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import { contentTypeOf, type ColumnNames } from './read-examples.ts';

export interface ClassifyServer {
  /** Base URL, with or without `/v1`. */
  readonly url: string;
  readonly key: string;
}

export interface ClassifierState {
  readonly id: string;
  readonly name: string;
  readonly status: 'uploading' | 'training' | 'ready' | 'failed';
  readonly num_examples: number;
  readonly version: number | null;
  readonly progress: {
    readonly phase: 'features' | 'fit';
    readonly fraction: number;
    readonly num_features: number;
    readonly num_examples: number;
  } | null;
  readonly error: string | null;
}

export interface ClassifierReport {
  readonly num_examples: number;
  readonly accuracy: number | null;
  readonly macro_f1: number | null;
  readonly calibration: { readonly ece: number; readonly temperature: number } | null;
  readonly out_of_scope_threshold: number | null;
  readonly labels: readonly { readonly label: string }[];
  readonly notes: readonly string[];
  readonly features_ms: number | null;
  readonly fit_ms: number | null;
}

export interface ClassifiedText {
  readonly label: string | null;
  readonly reason: string | null;
  readonly scores: readonly { readonly label: string; readonly score: number }[];
  readonly out_of_scope: number | null;
}

export interface UploadOptions {
  readonly file: string;
  readonly name: string;
  readonly isMultiLabel: boolean;
  readonly columns: ColumnNames;
}

/** Texts of one request, as many as the platform takes. */
export const TEXTS_PER_REQUEST = 256;
/** How often a training is looked at. */
const POLL_MS = 500;

function endpoint({ url }: ClassifyServer, route: string): string {
  const base = url.replace(/\/+$/, '');
  return `${base.endsWith('/v1') ? base : `${base}/v1`}${route}`;
}

async function request<T>(server: ClassifyServer, route: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  let body: string;
  try {
    response = await fetch(endpoint(server, route), {
      ...init,
      headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${server.key}` },
    });
    body = await response.text();
  } catch (error) {
    throw new OperatorError(
      'request_failed',
      `${server.url} does not answer: ${messageOf(error)}.`,
      'Start the platform with "npm start", or give the address of another one with --url.',
    );
  }
  const parsed = parseBody(body) as (T & { readonly error?: { readonly message?: string } | string | null }) | null;
  // An answer that took long has its status already: what went wrong is in the body.
  const error = parsed?.error;
  if (!response.ok || parsed === null || (typeof error === 'object' && error !== null)) {
    const message = typeof error === 'object' ? error?.message : undefined;
    throw new OperatorError('request_failed', `${message ?? 'The platform refused'} (HTTP ${response.status})`);
  }
  return parsed;
}

function parseBody(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

const json = (value: unknown): RequestInit => ({
  method: 'POST',
  body: JSON.stringify(value),
  headers: { 'content-type': 'application/json' },
});

export function createClassifier(server: ClassifyServer, options: UploadOptions): Promise<ClassifierState> {
  const { file, name, isMultiLabel, columns } = options;
  const query = new URLSearchParams({ name, text_column: columns.text, label_column: columns.label });
  if (isMultiLabel) {
    query.set('multi_label', 'true');
  }
  return request(server, `/classifiers?${query.toString()}`, {
    method: 'POST',
    body: Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>,
    headers: { 'content-type': contentTypeOf(file) },
    duplex: 'half',
  } as RequestInit);
}

/**
 * Waits until a training is over.
 * @param onProgress told what has changed
 * @throws OperatorError when it failed
 */
export async function waitUntilTrained(
  server: ClassifyServer,
  id: string,
  onProgress: (progress: NonNullable<ClassifierState['progress']>) => void,
): Promise<ClassifierState> {
  for (;;) {
    const state = await request<ClassifierState>(server, `/classifiers/${encodeURIComponent(id)}`);
    if (state.status === 'ready') {
      return state;
    }
    if (state.status === 'failed') {
      throw new OperatorError('request_failed', `The training failed: ${state.error ?? 'nobody knows why'}`);
    }
    if (state.progress !== null) {
      onProgress(state.progress);
    }
    await sleep(POLL_MS);
  }
}

export const readReport = (server: ClassifyServer, id: string): Promise<ClassifierReport> =>
  request(server, `/classifiers/${encodeURIComponent(id)}/report`);

export const listClassifiers = async (server: ClassifyServer): Promise<readonly ClassifierState[]> =>
  (await request<{ readonly data: readonly ClassifierState[] }>(server, '/classifiers')).data;

export async function removeClassifier(server: ClassifyServer, id: string): Promise<void> {
  await request(server, `/classifiers/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

/** Who judges: a classifier, or labels alone. */
export type Judge = { readonly classifier: string } | { readonly labels: readonly (string | LabelOption)[] };

/** A label with a few examples. */
export interface LabelOption {
  readonly name: string;
  readonly examples: readonly string[];
}

/** @param texts at most `TEXTS_PER_REQUEST` */
export async function classify(
  server: ClassifyServer,
  judge: Judge,
  texts: readonly string[],
): Promise<readonly ClassifiedText[]> {
  const body = { ...judge, input: texts };
  return (await request<{ readonly results: readonly ClassifiedText[] }>(server, '/classify', json(body))).results;
}
