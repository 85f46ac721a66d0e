/** `lamina bench`: every speed that the README names. Each subcommand registers itself from a file of its own. */
import type { Command } from 'commander';
import { registerKernelsBench } from './kernels-command.ts';
import { registerClassifyBench } from './classify-command.ts';
import { registerCompareBench } from './compare-command.ts';
import { registerEngineBench } from './engine-command.ts';
import { registerOriginBench } from './origin-command.ts';
import { registerPlotBench } from './plot-command.ts';
import { registerPrefixBench } from './prefix-command.ts';
import { registerRingBench } from './ring-command.ts';
import { registerServeBench } from './serve-command.ts';
import { registerSpeculationBench } from './speculation-command.ts';
import { registerStartBench } from './start-command.ts';

/** Adds `bench` and its subcommands. */
export function registerBenchCommands(program: Command): void {
  const bench = program.command('bench').description('measure speed, as figures of one run');
  registerKernelsBench(bench);
  registerCompareBench(bench);
  registerEngineBench(bench);
  registerServeBench(bench);
  registerOriginBench(bench);
  registerPlotBench(bench);
  registerSpeculationBench(bench);
  registerRingBench(bench);
  registerPrefixBench(bench);
  registerStartBench(bench);
  registerClassifyBench(bench);
}
