import { describe, expect, it } from 'vitest';
import { parseCatalog } from './catalog.ts';

const ENTRY = { id: 'lite', model: 'm', headBinding: 'HEAD_0', assetsPath: '/models/lite', aliases: ['small'] };

describe('parseCatalog', () => {
  it('finds entries by id and alias, from a text or a value', () => {
    for (const value of [[ENTRY], JSON.stringify([ENTRY])]) {
      const catalog = parseCatalog(value);
      expect(catalog.find('lite')).toBe(catalog.entries[0]);
      expect(catalog.find('small')).toBe(catalog.entries[0]);
      expect(catalog.find('large')).toBeUndefined();
      expect(catalog.find('constructor')).toBeUndefined();
    }
  });

  it.each([
    [[], 'CATALOG'],
    [[{ ...ENTRY, id: 7 }], 'id'],
    [[{ ...ENTRY, extra: 1 }], 'extra'],
    [[{ ...ENTRY, assetsPath: 'models' }], 'assetsPath'],
    [[ENTRY, { ...ENTRY, id: 'small' }], "'small' stands for two models"],
  ])('refuses %j', (value, named) => {
    expect(() => parseCatalog(value)).toThrow(named);
  });
});
