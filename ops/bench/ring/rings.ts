/** The rings that `lamina bench ring` compares. */

export interface BenchRing {
  readonly name: string;
  readonly stageCount: number;
  readonly numProcesses: number;
  /** Of `lamina dev`. */
  readonly args: readonly string[];
}

/** One stage of the default model is larger than a deployed isolate may be. Measuring it here harms nobody. */
const ISOLATE_MIB = 512;

function ring(stageCount: number, numProcesses: number): BenchRing {
  const stages = stageCount === 1 ? '1 stage' : `${stageCount} stages`;
  return {
    name: numProcesses === 1 ? stages : `${stages}, ${numProcesses} processes`,
    stageCount,
    numProcesses,
    args: [
      '--stages',
      String(stageCount),
      '--processes',
      String(numProcesses),
      ...(stageCount === 1 ? ['--isolate-mib', String(ISOLATE_MIB)] : []),
    ],
  };
}

/** The one that the others are compared with comes first. */
export const ONE_STAGE = ring(1, 1);
export const TWO_STAGES = ring(2, 1);
export const FOUR_STAGES = ring(4, 1);
export const TWO_PROCESSES = ring(2, 2);

export const RINGS = [ONE_STAGE, TWO_STAGES, FOUR_STAGES, TWO_PROCESSES] as const;
