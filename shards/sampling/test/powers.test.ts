import { describe, expect, it } from 'vitest';
import { power, powerScale } from '../powers.ts';

describe('power', () => {
  it.each([1, 0.3, 2.5])('is e^(x / %d), to thirteen digits', (temperature) => {
    const scale = powerScale(temperature);
    for (let x = 0; x > -700 * temperature; x -= 0.0137) {
      const exact = Math.exp(x / temperature);
      const tolerance = 6e-14 + Math.abs(x / temperature) * 2 ** -51;
      expect(Math.abs(power(x * scale) - exact), `${x}`).toBeLessThan(tolerance * exact);
    }
  });

  it('is 1 at 0, at any temperature', () => {
    for (const temperature of [Number.MIN_VALUE, 1e-6, 1, 1e6]) {
      for (const difference of [0, -0]) {
        expect(power(difference * powerScale(temperature))).toBe(1);
      }
    }
  });

  it('is a normal number as far down as there are any, and 0 below', () => {
    const lowest = Math.log(2 ** -1022);
    expect(power((lowest + 1e-9) * powerScale(1))).toBeGreaterThanOrEqual(2 ** -1022);
    expect(power((lowest - 1e-9) * powerScale(1))).toBe(0);
    expect(power(-Infinity)).toBe(0);
    expect(power(-1 * powerScale(Number.MIN_VALUE))).toBe(0);
  });

  it('lets NaN through', () => {
    expect(power(Number.NaN)).toBeNaN();
  });
});
