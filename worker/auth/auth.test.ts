import { describe, expect, it } from 'vitest';
import { assertKeysApart, createKeyring, LOCAL_ADMIN_KEY } from './keyring.ts';
import { isAllowedOrigin } from './origins.ts';

describe('createKeyring', () => {
  const reasonOf = async (environment: 'local' | 'production', keys: string[], header: string | null) => {
    const result = await createKeyring(environment, keys).authenticate(header);
    return result.ok ? 'ok' : result.error.reason;
  };

  it('takes sk-local in the local environment only, even when it is listed', async () => {
    expect(await reasonOf('local', [], 'Bearer sk-local')).toBe('ok');
    expect(await reasonOf('production', [], 'Bearer sk-local')).toBe('wrong');
    expect(await reasonOf('production', ['sk-local', 'sk-real'], 'Bearer sk-local')).toBe('wrong');
    expect(await reasonOf('production', ['sk-local', 'sk-real'], 'Bearer sk-real')).toBe('ok');
  });

  it('keeps the keys of operators and of clients apart, also the published ones', async () => {
    const reason = async (environment: 'local' | 'production', header: string) => {
      const keys = ['sk-operator', 'sk-local', 'sk-local-admin'];
      const result = await createKeyring(environment, keys, LOCAL_ADMIN_KEY).authenticate(header);
      return result.ok ? 'ok' : result.error.reason;
    };
    expect(await reason('production', 'Bearer sk-operator')).toBe('ok');
    expect(await reason('production', 'Bearer sk-local-admin')).toBe('wrong');
    expect(await reason('local', 'Bearer sk-local-admin')).toBe('ok');
    expect(await reason('local', 'Bearer sk-local')).toBe('wrong');
    expect(await reasonOf('local', ['sk-local-admin'], 'Bearer sk-local-admin')).toBe('wrong');
  });

  it.each([
    [null, 'missing'],
    ['', 'missing'],
    ['sk-real', 'missing'],
    ['Basic sk-real', 'missing'],
    ['Bearer ', 'missing'],
    ['Bearer sk-real x', 'missing'],
    ['Bearer sk-rea', 'wrong'],
    ['Bearer sk-real2', 'wrong'],
    ['bearer sk-real', 'ok'],
  ])('answers %j with %s', async (header, expected) => {
    expect(await reasonOf('production', ['sk-other', 'sk-real'], header)).toBe(expected);
  });

  it('accepts nothing without keys', async () => {
    expect(await reasonOf('production', ['', 'sk-local'], 'Bearer ')).toBe('missing');
    expect(await reasonOf('production', [], 'Bearer undefined')).toBe('wrong');
  });

  it('gives each key a tenant of its own that stays and does not hold the key', async () => {
    const tenant = async (key: string): Promise<string> => {
      const result = await createKeyring('local', ['sk-a', 'sk-b']).authenticate(`Bearer ${key}`);
      return result.ok ? result.value : '';
    };
    expect(await tenant('sk-a')).toBe(await tenant('sk-a'));
    expect(await tenant('sk-a')).not.toBe(await tenant('sk-b'));
    expect(await tenant('sk-a')).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('assertKeysApart', () => {
  it('refuses a key that is both', () => {
    expect(() => assertKeysApart(['sk-a', 'sk-b'], ['sk-c'])).not.toThrow();
    expect(() => assertKeysApart([], [])).not.toThrow();
    expect(() => assertKeysApart(['sk-a', 'sk-b'], ['sk-c', 'sk-b'])).toThrow('ADMIN_KEYS and API_KEYS');
  });
});

describe('isAllowedOrigin', () => {
  it.each([
    ['http://localhost:3000', 'local', true],
    ['http://127.0.0.1', 'local', true],
    ['https://[::1]:8787', 'local', true],
    ['http://localhost.evil.example', 'local', false],
    ['http://localhost:3000', 'production', false],
    ['https://app.example.com', 'production', true],
    ['https://app.example.com.evil.example', 'production', false],
    ['null', 'local', false],
    ['', 'local', false],
  ] as const)('%j in %s: %s', (origin, environment, expected) => {
    expect(isAllowedOrigin(origin, environment, ['https://app.example.com'])).toBe(expected);
  });
});
