import { describe, expect, it } from 'vitest';
import { cutWindows } from '../windows.ts';

const tokens = [10, 11, 12, 13, 14, 15, 16];

describe('cutWindows', () => {
  it('cuts consecutive windows and keeps a shorter rest', () => {
    expect(cutWindows(tokens, 5, 9)).toEqual([
      [10, 11, 12, 13, 14],
      [15, 16],
    ]);
  });

  it('leaves out a rest of one token, which predicts nothing', () => {
    expect(cutWindows(tokens, 3, 9)).toEqual([
      [10, 11, 12],
      [13, 14, 15],
    ]);
  });

  it('stops at the wanted number', () => {
    expect(cutWindows(tokens, 2, 2)).toEqual([
      [10, 11],
      [12, 13],
    ]);
    expect(cutWindows([], 2, 2)).toEqual([]);
  });
});
