import type { Oracle } from './oracle.ts';
import type { Simulation } from './simulation.ts';
import type { PlannedRequest } from './workload.ts';

/** Sends requests at their times. Draws up the expected answers first: time stands still meanwhile. */
export async function sendPlanned(
  simulation: Simulation,
  oracle: Oracle,
  planned: readonly PlannedRequest[],
): Promise<void> {
  let delayMs = 0;
  for (const each of planned) {
    const expected = await oracle.pooled(each.id);
    delayMs += each.delayMs;
    for (const kind of each.faults) {
      simulation.faults.add(kind);
    }
    simulation.send(delayMs, { ...each, expected });
  }
}
