/** The operators' surface of a gateway, `/v1/admin`: see `worker/api/admin/admin-routes.ts`. */
import { messageOf, OperatorError } from '../support/operator-error.ts';

export interface AdminServer {
  /** Base URL, without `/v1`. */
  readonly url: string;
  readonly key: string;
}

export interface ReplicaState {
  readonly model: string;
  readonly index: number;
  readonly status: 'serving' | 'draining' | 'failing';
  /** Null when it does not answer. */
  readonly num_running: number | null;
  readonly num_waiting: number | null;
}

/** Longest wait for an answer: a replica that is asked may have to wake up first. */
const ANSWER_MS_MAX = 30_000;

async function request<T>(server: AdminServer, method: 'GET' | 'POST', route: string): Promise<T> {
  let response: Response;
  let body: string;
  try {
    response = await fetch(new URL(`/v1/admin${route}`, server.url), {
      method,
      headers: { authorization: `Bearer ${server.key}` },
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    body = await response.text();
  } catch (error) {
    throw new OperatorError('request_failed', `${server.url} does not answer: ${messageOf(error)}.`);
  }
  if (!response.ok) {
    throw new OperatorError('request_failed', `${refusalOf(body)} (HTTP ${response.status})`, hintOf(response.status));
  }
  return JSON.parse(body) as T;
}

function refusalOf(body: string): string {
  try {
    const { message } = (JSON.parse(body) as { error: { message: string } }).error;
    return message;
  } catch {
    return 'The gateway refused';
  }
}

function hintOf(status: number): string | null {
  return status === 401
    ? 'Give one of the keys of the secret ADMIN_KEYS with --key or LAMINA_ADMIN_KEY ("npx wrangler secret put ADMIN_KEYS").'
    : null;
}

export async function listReplicas(server: AdminServer): Promise<readonly ReplicaState[]> {
  return (await request<{ readonly data: readonly ReplicaState[] }>(server, 'GET', '/replicas')).data;
}

const routeOf = (model: string, index: number): string => `/replicas/${encodeURIComponent(model)}/${index}`;

export function readReplica(server: AdminServer, model: string, index: number): Promise<ReplicaState> {
  return request(server, 'GET', routeOf(model, index));
}

export function drainReplica(server: AdminServer, model: string, index: number): Promise<ReplicaState> {
  return request(server, 'POST', `${routeOf(model, index)}/drain`);
}

export function resumeReplica(server: AdminServer, model: string, index: number): Promise<ReplicaState> {
  return request(server, 'POST', `${routeOf(model, index)}/resume`);
}
