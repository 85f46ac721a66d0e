import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchKernels } from '../kernels/bench-kernels.ts';
import { type KernelRunner, workerdRunner } from '../kernels/runners.ts';

const CASES = [
  { name: 'memory read', multiplyAdds: 0, bytes: 4e6 },
  { name: 'gemm, 1 token', multiplyAdds: 3.9e6, bytes: 2e6 },
  { name: 'gemm, 2 tokens', multiplyAdds: 8e6, bytes: 4e6 },
  { name: 'memory read', multiplyAdds: 0, bytes: 4e6 },
];

/** A call takes 1 ms on its clock, a request 5 ms. */
function fakeRunner(clock: { ms: number }): KernelRunner {
  const rest = [...CASES];
  return {
    name: 'fake',
    next: async () => rest.shift() ?? null,
    run: async (calls) => {
      clock.ms += 5 + calls;
    },
    stop: async () => undefined,
  };
}

describe('benchKernels', () => {
  it('subtracts what a request costs, and tells equal names apart', async () => {
    const clock = { ms: 0 };
    const samples = await benchKernels({
      runners: [fakeRunner(clock)],
      rounds: 2,
      filter: '',
      nowMs: () => clock.ms,
      onCase: () => undefined,
    });
    expect(
      samples.filter(({ round }) => round === 1).map(({ scenario, value, unit }) => [scenario, value, unit]),
    ).toEqual([
      ['memory read', 4, 'GB/s'],
      ['gemm, 1 token', 3.9, 'GMAC/s'],
      ['gemm, 1 token: bytes', 2, 'GB/s'],
      ['gemm, 2 tokens', 8, 'GMAC/s'],
      ['memory read, again', 4, 'GB/s'],
    ]);
  });

  it('skips what is filtered out', async () => {
    const clock = { ms: 0 };
    const options = { rounds: 1, filter: '2 tokens', nowMs: () => clock.ms, onCase: () => undefined };
    const samples = await benchKernels({ ...options, runners: [fakeRunner(clock)] });
    expect(samples.map(({ scenario }) => scenario)).toEqual(['gemm, 2 tokens']);
  });
});

describe('the kernels in workerd', () => {
  let runner: KernelRunner;
  beforeAll(async () => {
    runner = await workerdRunner();
  });
  afterAll(() => runner.stop());

  it('are the cases of the bench, and run', async () => {
    const info = await runner.next();
    expect(info?.name).toContain('memory read');
    expect(info?.bytes).toBeGreaterThan(0);
    await runner.run(1);
    expect((await runner.next())?.multiplyAdds).toBeGreaterThan(0);
    await runner.run(1);
  });
});
