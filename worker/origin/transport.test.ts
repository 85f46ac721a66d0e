import { describe, expect, it } from 'vitest';
import { createOrigins } from '../platform/origin-transports.ts';
import { ManualClock } from '../../ops/testing/manual-clock.ts';

const MODEL = { public: 'lamina-pro', upstream: 'up', capabilities: ['chat'] };
const ORIGIN = { id: 'a', url: 'http://vllm.internal:8000/v1', models: [MODEL] };
const VPC = { ...ORIGIN, transport: 'vpc', binding: 'ORIGIN_A', credentials: { apiKeySecret: 'KEY_A' } };
const ACCESS = {
  ...ORIGIN,
  transport: 'access',
  credentials: { accessClientIdSecret: 'ID', accessClientSecretSecret: 'SECRET' },
};

/** A binding that, as those of Workers do, refuses to be called off itself. */
class Binding {
  readonly calls: [url: string, init: RequestInit][] = [];

  fetch(url: string, init: RequestInit): Promise<Response> {
    this.calls.push([url, init]);
    return Promise.resolve(new Response('ok'));
  }
}

describe('createOrigins', () => {
  it('reaches an origin through its binding, with the key that the secret holds', async () => {
    const binding = new Binding();
    const bindings = { ORIGINS: JSON.stringify([VPC]), ORIGIN_A: binding, KEY_A: 'sk-a' };
    const [origin] = createOrigins(bindings, new ManualClock());
    const { signal } = new AbortController();
    await origin?.transport.fetch('/health', { method: 'GET', signal });
    expect(binding.calls).toEqual([
      [
        'http://vllm.internal:8000/health',
        { method: 'GET', headers: { authorization: 'Bearer sk-a' }, redirect: 'manual', signal },
      ],
    ]);
  });

  it.each([
    [{ ORIGINS: [VPC], KEY_A: 'k' }, 'ORIGIN_A, which is missing: add it to vpc_services'],
    [{ ORIGINS: [{ ...VPC, transport: 'mtls' }], KEY_A: 'k' }, 'mtls_certificates'],
    [{ ORIGINS: [VPC], ORIGIN_A: new Binding() }, 'wrangler secret put KEY_A'],
    [{ ORIGINS: [ACCESS], ID: 'id', SECRET: '' }, 'wrangler secret put SECRET'],
  ])('says what is missing: %j', (bindings, named) => {
    expect(() => createOrigins(bindings, new ManualClock())).toThrow(named);
  });
});
