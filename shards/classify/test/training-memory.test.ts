/** What the planner counts for a training, against what one holds. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { linearCols, LinearWorkspace } from '../../../wasm/host/linear-workspace.ts';
import { scatterWorkspaceBytes } from '../../../wasm/host/scatter-workspace.ts';
import { BATCH_ROWS_MAX, VALIDATED_LOGITS_MAX } from '../limits.ts';
import { train } from '../train.ts';
import { trainingMemory } from '../training-memory.ts';
import { finish, synthetic, trainingOf } from './synthetic.ts';

setFlagsFromString('--expose-gc');
const collectOnce = runInNewContext('gc') as () => void;
/** Twice: buffers that a collection frees are counted until the next one, or until a thread beside it is through. */
const collectGarbage = (): void => {
  collectOnce();
  collectOnce();
};

/** Steps between two looks: a collection takes longer than a step. */
const STEPS_BETWEEN = 50;

describe('trainingMemory', () => {
  it('is what a training holds, and not much more', async () => {
    const kernels = await loadKernels();
    const shape = { numLabels: 40, featureSize: 512, partSize: 512, hashedSize: 0 };
    const set = synthetic({ ...shape, numExamples: 10, noise: 1, seed: 5 });
    const options = trainingOf(kernels, set, shape.numLabels);
    const { workspaceBytes, searchBytes } = trainingMemory(shape);
    const vectorBytes = shape.numLabels * linearCols(shape.featureSize) * Float32Array.BYTES_PER_ELEMENT;
    const logitsBytes = set.labels.length * shape.numLabels * Float32Array.BYTES_PER_ELEMENT;
    // The table of f16 is made once, and stays.
    const small = { numLabels: 2, featureSize: 8, numExamples: 2, noise: 1, seed: 1 };
    finish(train(trainingOf(kernels, synthetic(small), small.numLabels)));
    collectGarbage();
    const beforeBytes = process.memoryUsage().arrayBuffers;
    // What it has learnt on its way is not in the isolate: it is in SQLite.
    const stored = new Map<string, string>();
    const checkpoints = {
      load: (key: string) => {
        const text = stored.get(key);
        return text === undefined ? null : Float32Array.from(JSON.parse(text) as number[]);
      },
      save: (key: string, values: Float32Array) => void stored.set(key, JSON.stringify([...values])),
      remove: (key: string) => void stored.delete(key),
    };
    let mostBytes = 0;
    let numSteps = 0;
    for (const work = train({ ...options, checkpoints }); work.next().done !== true; numSteps += 1) {
      if (numSteps % STEPS_BETWEEN === 0) {
        collectGarbage();
        mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - beforeBytes);
      }
    }
    // Node does not count WebAssembly memory among these, whose size the workspace knows. A vector of weights that is kept
    // for a moment, and arrays with a number for each row, are not in the plan.
    const countedBytes = searchBytes + logitsBytes;
    expect(workspaceBytes).toBe(
      new LinearWorkspace(kernels, { ...shape, batchRowsMax: BATCH_ROWS_MAX }).bytes +
        scatterWorkspaceBytes({ numParts: 1, partSize: 512, batchRowsMax: BATCH_ROWS_MAX }),
    );
    expect(mostBytes).toBeGreaterThanOrEqual(countedBytes);
    expect(mostBytes).toBeLessThan(countedBytes + 2.5 * vectorBytes);
    expect(trainingMemory(shape).logitsBytes).toBeGreaterThan(VALIDATED_LOGITS_MAX * Float32Array.BYTES_PER_ELEMENT);
  });
});
