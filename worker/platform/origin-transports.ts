/** Origins from the Worker's configuration: each with its way there and its secrets. */
import type { Clock } from '../../shards/platform/clock.ts';
import { Origin } from '../origin/origin.ts';
import { parseOrigins, type OriginConfig } from '../origin/origin-config.ts';
import { createTransport, type Fetch, type OriginCredentials } from '../origin/transport.ts';

/**
 * @param bindings variables, secrets and bindings of the Worker; `ORIGINS` is the list.
 * @throws Error naming the variable, secret or binding that is missing or wrong.
 */
export function createOrigins(bindings: Readonly<Record<string, unknown>>, clock: Clock): readonly Origin[] {
  return parseOrigins(bindings['ORIGINS']).map(
    (config) =>
      new Origin(
        config,
        createTransport(config.url, readCredentials(config, bindings), fetchOf(config, bindings)),
        clock,
      ),
  );
}

function fetchOf({ id, transport, binding }: OriginConfig, bindings: Readonly<Record<string, unknown>>): Fetch {
  if (binding === undefined) {
    return (url, init) => fetch(url, init);
  }
  const fetcher = bindings[binding] as { readonly fetch?: Fetch } | undefined;
  if (fetcher?.fetch === undefined) {
    const table = transport === 'vpc' ? 'vpc_services' : 'mtls_certificates';
    throw new Error(
      `The origin '${id}' needs the binding ${binding}, which is missing: add it to ${table} in wrangler.toml`,
    );
  }
  // Called on the binding: taken off it, it refuses to run.
  return (url, init) => (fetcher as { fetch: Fetch }).fetch(url, init);
}

function readCredentials(
  { id, credentials }: OriginConfig,
  bindings: Readonly<Record<string, unknown>>,
): OriginCredentials {
  const secret = (name: string): string => {
    const value = bindings[name];
    if (typeof value !== 'string' || value === '') {
      throw new Error(`The origin '${id}' needs the secret ${name}, which is not set: wrangler secret put ${name}`);
    }
    return value;
  };
  const { apiKeySecret, accessClientIdSecret, accessClientSecretSecret } = credentials;
  return {
    apiKey: apiKeySecret === undefined ? null : secret(apiKeySecret),
    access:
      accessClientIdSecret === undefined || accessClientSecretSecret === undefined
        ? null
        : { clientId: secret(accessClientIdSecret), clientSecret: secret(accessClientSecretSecret) },
  };
}
