/** Times kernel cases on several runners in turn. */
import { type BenchSample, turnOrder } from '../samples.ts';
import { median } from '../stats.ts';
import type { KernelRunner } from './runners.ts';
import type { CaseInfo } from './worker.ts';

export interface KernelBenchOptions {
  readonly runners: readonly KernelRunner[];
  readonly rounds: number;
  /** Part of a case's name; others are skipped. */
  readonly filter: string;
  readonly nowMs: () => number;
  readonly onCase: (name: string) => void;
}

/** Long enough that the cost of a request, which is subtracted, does not matter, and an interrupt little. */
const ROUND_MS = 25;
/** V8 replaces baseline code after some tens of milliseconds of it. */
const WARM_UP_MS = 100;
/** Requests without a call, whose median is what a request costs. */
const NUM_EMPTY_RUNS = 5;
/** Multiply-adds for each byte, below which reading could be the limit and the rate of the bytes is told too. */
const INTENSITY_MAX = 2;
const GIGA = 1e9;

async function millisecondsOf(runner: KernelRunner, calls: number, nowMs: () => number): Promise<number> {
  const startMs = nowMs();
  await runner.run(calls);
  return nowMs() - startMs;
}

/** Runs until it is warm, and finds out how many calls fill a round. */
async function callsPerRound(runner: KernelRunner, nowMs: () => number): Promise<number> {
  let [calls, spentMs, lastMs] = [1, 0, 0];
  while (spentMs < WARM_UP_MS || lastMs < ROUND_MS) {
    calls = Math.ceil(lastMs < ROUND_MS ? calls * 2 : calls);
    lastMs = await millisecondsOf(runner, calls, nowMs);
    spentMs += lastMs;
  }
  return Math.max(1, Math.round((calls * ROUND_MS) / lastMs));
}

async function requestCost(runner: KernelRunner, nowMs: () => number): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < NUM_EMPTY_RUNS; run++) {
    times.push(await millisecondsOf(runner, 0, nowMs));
  }
  return median(times);
}

/** The next case on every runner; they have the same ones in the same order. */
async function nextCase(runners: readonly KernelRunner[]): Promise<CaseInfo | null> {
  const infos: (CaseInfo | null)[] = [];
  for (const runner of runners) {
    infos.push(await runner.next());
  }
  return infos[0] ?? null;
}

export async function benchKernels(options: KernelBenchOptions): Promise<BenchSample[]> {
  const { runners, rounds, nowMs } = options;
  const samples: BenchSample[] = [];
  const numSeen = new Map<string, number>();
  for (let info = await nextCase(runners); info !== null; info = await nextCase(runners)) {
    if (!info.name.includes(options.filter)) {
      continue;
    }
    // Memory is read twice, before and after the matrix products.
    const seen = numSeen.get(info.name) ?? 0;
    numSeen.set(info.name, seen + 1);
    options.onCase(info.name);
    const { name, multiplyAdds, bytes } = info;
    const scenario = seen === 0 ? name : `${name}, again`;
    const calls = new Map<KernelRunner, { calls: number; emptyMs: number }>();
    for (const runner of runners) {
      calls.set(runner, { calls: await callsPerRound(runner, nowMs), emptyMs: await requestCost(runner, nowMs) });
    }
    for (let round = 0; round < rounds; round++) {
      for (const runner of turnOrder(runners, round)) {
        const { calls: numCalls, emptyMs } = calls.get(runner) ?? { calls: 1, emptyMs: 0 };
        const seconds = ((await millisecondsOf(runner, numCalls, nowMs)) - emptyMs) / numCalls / 1000;
        const add = (suffix: string, perCall: number, unit: BenchSample['unit']): void => {
          const value = perCall / seconds / GIGA;
          samples.push({ target: runner.name, round, scenario: `${scenario}${suffix}`, value, unit });
        };
        if (multiplyAdds > 0) {
          add('', multiplyAdds, 'GMAC/s');
        }
        if (multiplyAdds / bytes < INTENSITY_MAX) {
          add(multiplyAdds > 0 ? ': bytes' : '', bytes, 'GB/s');
        }
      }
    }
  }
  return samples;
}
