import { describe, expect, it } from 'vitest';
import { ORIGINS_MAX, parseOrigins } from './origin-config.ts';

const MODEL = { public: 'lamina-pro', upstream: 'glm-4-9b', capabilities: ['chat', 'tools'] };
const ORIGIN = { id: 'a', url: 'http://127.0.0.1:8000/v1', models: [MODEL] };

describe('parseOrigins', () => {
  it('takes a text or a value and fills in what is not said', () => {
    const [origin] = parseOrigins(JSON.stringify([ORIGIN]));
    expect(origin).toMatchObject({ transport: 'url', engine: 'openai', weight: 1, credentials: {} });
    expect(origin?.models).toMatchObject([{ hedging: { enabled: false } }]);
    expect(parseOrigins([ORIGIN])).toEqual([origin]);
  });

  it('has no origins when the variable is not set', () => {
    expect(parseOrigins(undefined)).toEqual([]);
    expect(parseOrigins('')).toEqual([]);
  });

  it('takes as many origins as the limit allows, and not one more', () => {
    const many = Array.from({ length: ORIGINS_MAX + 1 }, (_, index) => ({ ...ORIGIN, id: `o${index}` }));
    expect(parseOrigins(many.slice(1))).toHaveLength(ORIGINS_MAX);
    expect(() => parseOrigins(many)).toThrow('ORIGINS');
  });

  it.each([
    ['{', 'JSON list'],
    [[{ ...ORIGIN, extra: 1 }], 'extra'],
    [[{ ...ORIGIN, url: 'ftp://a' }], 'url'],
    [[{ ...ORIGIN, id: 'Not an id' }], 'id'],
    [[{ ...ORIGIN, models: [] }], 'models'],
    [[{ ...ORIGIN, models: [MODEL, MODEL] }], "'lamina-pro' is there twice"],
    [[{ ...ORIGIN, models: [{ ...MODEL, capabilities: ['flying'] }] }], 'capabilities'],
    [[{ ...ORIGIN, models: [{ ...MODEL, hedging: { enabled: 'yes' } }] }], 'hedging'],
    [[{ ...ORIGIN, models: [{ ...MODEL, hedging: { enabled: true, delayMs: 1 } }] }], 'delayMs'],
    [
      [{ ...ORIGIN, engine: 'llama.cpp', models: [{ ...MODEL, capabilities: ['infill'] }] }],
      "leave out the capability 'infill'",
    ],
    [[{ ...ORIGIN, transport: 'vpc' }], 'needs the name of its binding'],
    [[{ ...ORIGIN, binding: 'B' }], 'has no binding'],
    [[{ ...ORIGIN, transport: 'access' }], 'accessClientIdSecret and accessClientSecretSecret'],
    [[{ ...ORIGIN, credentials: { apiKeySecret: 'sk-abc' } }], 'not the secret itself'],
    [[ORIGIN, ORIGIN], "two origins have the id 'a'"],
  ])('refuses %j', (value, named) => {
    expect(() => parseOrigins(value)).toThrow(named);
  });
});
