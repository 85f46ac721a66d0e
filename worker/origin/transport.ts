/**
 * The way to an origin. However it is reached, it is a `fetch`: of a VPC Service binding, of an mTLS certificate, or the
 * plain one, to a public name or through Cloudflare Access.
 */
import type { OriginConfig } from './origin-config.ts';

export interface OriginTransport {
  /** @param path from the origin's root, such as `/v1/models`. Redirects are not followed. */
  fetch(path: string, init: OriginRequestInit): Promise<Response>;
}

export interface OriginRequestInit {
  readonly method: 'GET' | 'POST';
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** The `fetch` of a binding, or the global one. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface OriginCredentials {
  readonly apiKey: string | null;
  readonly access: { readonly clientId: string; readonly clientSecret: string } | null;
}

/**
 * Headers are made from nothing: of the client's own none gets here, its `Authorization` least of all.
 * @param url with or without the final `/v1`.
 */
export function createTransport(
  url: OriginConfig['url'],
  credentials: OriginCredentials,
  fetchFrom: Fetch,
): OriginTransport {
  const root = url.replace(/\/+$/, '').replace(/\/v1$/, '');
  const own: Record<string, string> = {};
  if (credentials.apiKey !== null) {
    own['authorization'] = `Bearer ${credentials.apiKey}`;
  }
  if (credentials.access !== null) {
    own['cf-access-client-id'] = credentials.access.clientId;
    own['cf-access-client-secret'] = credentials.access.clientSecret;
  }
  return {
    fetch: (path, { method, body, headers, signal }) =>
      fetchFrom(root + path, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...own },
        ...(body === undefined ? {} : { body }),
        // Access answers a wrong token with a redirect to its login page.
        redirect: 'manual',
        signal,
      }),
  };
}
