import { describe, expect, it } from 'vitest';
import { philox4x32, uniformAt } from '../philox.ts';

describe('philox4x32', () => {
  /** Known answers of philox4x32 with 10 rounds, from the file kat_vectors of Random123. */
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)('gives the known answer for %j', (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });
});

describe('uniformAt', () => {
  it('is a multiple of 2^-53 in [0, 1)', () => {
    for (let position = 0; position < 1000; position++) {
      const uniform = uniformAt(1, position);
      expect(uniform).toBeGreaterThanOrEqual(0);
      expect(uniform).toBeLessThan(1);
      expect(Number.isInteger(uniform * 2 ** 53)).toBe(true);
    }
  });

  it('uses all bits of the seed, and its sign', () => {
    const seeds = [
      0,
      1,
      2 ** 32,
      2 ** 32 + 1,
      2 ** 52,
      Number.MAX_SAFE_INTEGER,
      -1,
      -(2 ** 32),
      Number.MIN_SAFE_INTEGER,
    ];
    expect(new Set(seeds.map((seed) => uniformAt(seed, 0))).size).toBe(seeds.length);
  });
});
