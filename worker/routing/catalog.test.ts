import { describe, expect, it } from 'vitest';
import { parseCatalog } from './catalog.ts';

const RING = { type: 'ring', model: 'm', headBinding: 'HEAD_0', assetsPath: '/models/lite' };
const ENTRY = { id: 'lite', tier: 'lite', backend: RING, aliases: ['small'] };
const PRO = { id: 'pro', tier: 'pro', backend: { type: 'origins' } };

describe('parseCatalog', () => {
  it('finds entries by id and alias, from a text or a value', () => {
    for (const value of [[ENTRY, PRO], JSON.stringify([ENTRY, PRO])]) {
      const catalog = parseCatalog(value);
      expect(catalog.find('lite')).toBe(catalog.entries[0]);
      expect(catalog.find('small')).toBe(catalog.entries[0]);
      expect(catalog.find('pro')?.backend.type).toBe('origins');
      expect(catalog.find('large')).toBeUndefined();
      expect(catalog.find('constructor')).toBeUndefined();
    }
  });

  it.each([
    [[], 'CATALOG'],
    [[{ ...ENTRY, id: 7 }], 'id'],
    [[{ ...ENTRY, extra: 1 }], 'extra'],
    [[{ ...ENTRY, tier: 'huge' }], 'tier'],
    [[{ ...ENTRY, backend: { ...RING, assetsPath: 'models' } }], 'assetsPath'],
    [[{ ...ENTRY, backend: { type: 'cloud' } }], 'backend'],
    [[ENTRY, { ...ENTRY, id: 'small' }], "'small' stands for two models"],
  ])('refuses %j', (value, named) => {
    expect(() => parseCatalog(value)).toThrow(named);
  });
});
