import { describe, expect, it } from 'vitest';
import { parseCatalog, REPLICA_COUNT_MAX } from './catalog.ts';

const RING = { type: 'ring', model: 'm', headBindings: ['HEAD_0'], assetsPath: '/models/lite' };
const headBindings = (count: number): string[] => Array.from({ length: count }, (_, index) => `HEAD_${index}`);
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

  it('takes as many replicas as there may be', () => {
    const bindings = headBindings(REPLICA_COUNT_MAX);
    const [entry] = parseCatalog([{ ...ENTRY, backend: { ...RING, headBindings: bindings } }]).entries;
    expect(entry?.backend).toMatchObject({ headBindings: bindings });
  });

  it.each([
    [[], 'CATALOG'],
    [[{ ...ENTRY, id: 7 }], 'id'],
    [[{ ...ENTRY, extra: 1 }], 'extra'],
    [[{ ...ENTRY, tier: 'huge' }], 'tier'],
    [[{ ...ENTRY, backend: { ...RING, assetsPath: 'models' } }], 'assetsPath'],
    [[{ ...ENTRY, backend: { ...RING, headBindings: [] } }], 'headBindings'],
    [[{ ...ENTRY, backend: { ...RING, headBindings: headBindings(REPLICA_COUNT_MAX + 1) } }], 'headBindings'],
    [[{ ...ENTRY, backend: { ...RING, defaultSampling: { temperature: 2.1 } } }], 'temperature'],
    [[{ ...ENTRY, backend: { ...RING, defaultSampling: { top_p: 1 } } }], 'top_p'],
    [[{ ...ENTRY, backend: { type: 'cloud' } }], 'backend'],
    [[ENTRY, { ...ENTRY, id: 'small' }], "'small' stands for two models"],
  ])('refuses %j', (value, named) => {
    expect(() => parseCatalog(value)).toThrow(named);
  });
});
