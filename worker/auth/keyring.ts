/** API keys: who may ask, and which tenant a key stands for. */
import { err, ok, type Result } from '../../shards/result.ts';

export type Environment = 'local' | 'production';

/** Works in the local environment only, so that trying Lamina needs no set-up and a deployment has no default key. */
export const LOCAL_API_KEY = 'sk-local';

/** The same for operators: it opens what an API key does not, and nothing else. */
export const LOCAL_ADMIN_KEY = 'sk-local-admin';

/** Longest Authorization header that is looked at; hashing a longer one is work for nothing. */
const HEADER_LENGTH_MAX = 512;

export type AuthError = { readonly reason: 'missing' } | { readonly reason: 'wrong' };

/** Stable name of the owner of a key. Made from the key's digest, so it can be logged; it keeps caches apart. */
export type Tenant = string & { readonly __brand: 'Tenant' };

export interface Keyring {
  /** @param authorization the header's value, or null when it is missing. */
  authenticate(authorization: string | null): Promise<Result<Tenant, AuthError>>;
}

/**
 * @param keys keys that are accepted. Those that this project publishes count for nothing outside the local environment.
 * @param localKey the one that is accepted in the local environment whatever `keys` says.
 */
export function createKeyring(
  environment: Environment,
  keys: readonly string[],
  localKey: typeof LOCAL_API_KEY | typeof LOCAL_ADMIN_KEY = LOCAL_API_KEY,
): Keyring {
  const accepted = [
    ...keys.filter((key) => key !== '' && key !== LOCAL_API_KEY && key !== LOCAL_ADMIN_KEY),
    ...(environment === 'local' ? [localKey] : []),
  ];
  let known: Promise<{ readonly digest: Uint8Array; readonly tenant: Tenant }[]> | null = null;
  return {
    async authenticate(authorization) {
      const key = bearerToken(authorization);
      if (key === null) {
        return err({ reason: 'missing' });
      }
      known ??= Promise.all(accepted.map(ownerOf));
      const presented = await sha256(key);
      let owner: Tenant | null = null;
      for (const { digest, tenant } of await known) {
        // No early exit: the time must not tell which key came close.
        owner = equalDigests(digest, presented) ? tenant : owner;
      }
      return owner === null ? err({ reason: 'wrong' }) : ok(owner);
    },
  };
}

/** @throws Error when a key is both a client's and an operator's: then every client would be an operator. */
export function assertKeysApart(apiKeys: readonly string[], adminKeys: readonly string[]): void {
  if (adminKeys.some((key) => apiKeys.includes(key))) {
    throw new Error('The secrets ADMIN_KEYS and API_KEYS have a key in common: give operators keys of their own');
  }
}

function bearerToken(authorization: string | null): string | null {
  if (authorization === null || authorization.length > HEADER_LENGTH_MAX) {
    return null;
  }
  return /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? null;
}

async function ownerOf(key: string): Promise<{ readonly digest: Uint8Array; readonly tenant: Tenant }> {
  const digest = await sha256(key);
  return { digest, tenant: await tenantOf(digest) };
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
}

/** Compares digests, not keys, and all of each: neither length nor content of a key can be timed. */
function equalDigests(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < a.length; index++) {
    difference |= (a[index] ?? 0) ^ (b[index] ?? 0);
  }
  return difference === 0;
}

/** A digest of the digest: the name of a tenant does not help to guess what is compared. */
async function tenantOf(digest: Uint8Array): Promise<Tenant> {
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const name = await sha256(`lamina tenant ${hex}`);
  return [...name.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('') as Tenant;
}
