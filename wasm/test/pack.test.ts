import { describe, expect, it } from 'vitest';
import { packedBytes, packQb4w, packQb8w, unpackQb4w, unpackQb8w } from '../host/pack.ts';
import { Random } from './random.ts';

const SHAPES = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64].flatMap((rows) =>
  [32, 64, 96, 576].map((cols) => [rows, cols] as const),
);
const SEED = 20_26;

function randomBits(random: Random, length: number): Uint16Array<ArrayBuffer> {
  return Uint16Array.from({ length }, () => random.integer(0, 0xffff));
}

describe('pack', () => {
  it.each(SHAPES)('round-trips qb4w [%i, %i]', (rows, cols) => {
    const random = new Random(SEED + rows * cols);
    const quants = Uint8Array.from({ length: rows * cols }, () => random.integer(0, 15));
    const scales = randomBits(random, (rows * cols) / 32);
    const minima = randomBits(random, (rows * cols) / 32);
    const packed = packQb4w(rows, cols, quants, scales, minima);
    expect(packed.length).toBe(packedBytes('qb4w', [rows, cols]));
    expect(packed.length).toBe(Math.ceil(rows / 8) * (cols / 32) * 160);
    expect(unpackQb4w(rows, cols, packed)).toEqual({ quants, scales, minima });
  });

  it.each(SHAPES)('round-trips qb8w [%i, %i]', (rows, cols) => {
    const random = new Random(SEED + rows * cols);
    const quants = Int8Array.from({ length: rows * cols }, () => random.integer(-128, 127));
    const scales = randomBits(random, (rows * cols) / 32);
    const packed = packQb8w(rows, cols, quants, scales);
    expect(packed.length).toBe(Math.ceil(rows / 8) * (cols / 32) * 272);
    expect(unpackQb8w(rows, cols, packed)).toEqual({ quants, scales });
  });

  it('reads a packed matrix at any offset of a larger buffer', () => {
    const quants = Uint8Array.from({ length: 64 }, (_, index) => index % 16);
    const packed = packQb4w(2, 32, quants, Uint16Array.of(1, 2), Uint16Array.of(3, 4));
    const shifted = new Uint8Array(packed.length + 3);
    shifted.set(packed, 3);
    expect(unpackQb4w(2, 32, shifted.subarray(3)).quants).toEqual(quants);
  });

  it('puts the bytes where docs/weights-format.md draws them', () => {
    const rows = 8;
    const quants4 = new Uint8Array(rows * 32);
    quants4[1 * 32 + 5] = 0x0a;
    quants4[5 * 32 + 5] = 0x0c;
    const scales = Uint16Array.from({ length: rows }, (_, row) => 0x100 + row);
    const minima = Uint16Array.from({ length: rows }, (_, row) => 0x200 + row);
    const packed4 = packQb4w(rows, 32, quants4, scales, minima);
    // Column 5 is column 1 of quad 1; row 1 is the second lane, and row 5 shares its byte.
    expect(packed4[16 + 4 + 1]).toBe(0xca);
    expect([packed4[128], packed4[129], packed4[142], packed4[158], packed4[159]]).toEqual([0, 1, 7, 7, 2]);

    const quants8 = new Int8Array(rows * 32);
    quants8[5 * 32 + 6] = -7;
    const packed8 = packQb8w(rows, 32, quants8, scales);
    expect(new Int8Array(packed8.buffer)[32 + 5 * 4 + 2]).toBe(-7);
    expect([packed8[256], packed8[257], packed8[270]]).toEqual([0, 1, 7]);
  });

  it('fills padded rows with zeros', () => {
    const packed = packQb8w(1, 32, new Int8Array(32).fill(-1), Uint16Array.of(0xffff));
    expect(packed.filter((byte) => byte !== 0).length).toBe(32 + 2);
  });

  it('refuses wrong lengths, quants and shapes', () => {
    const scale = Uint16Array.of(0);
    expect(() => packQb4w(1, 32, new Uint8Array(31), scale, scale)).toThrow('needs 32 quants');
    expect(() => packQb4w(1, 32, new Uint8Array(32), scale, new Uint16Array(2))).toThrow('needs 1 scales');
    expect(() => packQb4w(1, 32, new Uint8Array(32).fill(16), scale, scale)).toThrow('above 15');
    expect(() => packQb8w(1, 31, new Int8Array(31), scale)).toThrow('multiple of 32');
    expect(() => unpackQb8w(1, 32, new Uint8Array(271))).toThrow('takes 272 bytes');
    expect(() => packedBytes('qb4w', [32])).toThrow('wants [rows, cols]');
    expect(packedBytes('f32', [7])).toBe(28);
  });
});
