import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { RetryBudget } from './retry-budget.ts';

const LIMITS = { ratio: 0.2, floorPerSecond: 1, windowSeconds: 10 };
const FLOOR = LIMITS.floorPerSecond * LIMITS.windowSeconds;

it('allows the floor without traffic and the ratio above it, and no more', () => {
  let nowMs = 0;
  const budget = new RetryBudget(() => nowMs, LIMITS);
  const take = (): number => {
    let taken = 0;
    while (budget.tryRetry()) {
      taken++;
    }
    return taken;
  };
  expect(take()).toBe(FLOOR);
  for (let index = 0; index < 100; index++) {
    budget.countRequest();
  }
  expect(take()).toBe(20);
  nowMs = LIMITS.windowSeconds * 1000;
  expect(take()).toBe(FLOOR);
});

it('never lets more retries into a window than its requests and the floor pay for, if all requests fail', () => {
  const steps = fc.array(fc.record({ waitMs: fc.nat(3000), numRequests: fc.nat(40) }), { maxLength: 40 });
  fc.assert(
    fc.property(steps, (list) => {
      let nowMs = 0;
      const budget = new RetryBudget(() => nowMs, LIMITS);
      const requests: number[] = [];
      const retries: number[] = [];
      for (const { waitMs, numRequests } of list) {
        nowMs += waitMs;
        for (let index = 0; index < numRequests; index++) {
          budget.countRequest();
          requests.push(nowMs);
          if (budget.tryRetry()) {
            retries.push(nowMs);
          }
        }
        const since = (Math.floor(nowMs / 1000) - LIMITS.windowSeconds + 1) * 1000;
        const inWindow = (times: readonly number[]): number => times.filter((time) => time >= since).length;
        expect(inWindow(retries)).toBeLessThanOrEqual(LIMITS.ratio * inWindow(requests) + FLOOR);
      }
    }),
  );
});
