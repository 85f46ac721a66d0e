import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { f16ToF32, f32ToF16 } from '../../../wasm/host/f16.ts';
import { LinearWorkspace } from '../../../wasm/host/linear-workspace.ts';
import { Targets } from '../targets.ts';
import { measureFeatures } from '../training-rows.ts';
import { finish, rowsOf } from './synthetic.ts';

const decode = Float32Array.from({ length: 2 ** 16 }, (_, bits) => f16ToF32(bits));

describe('measureFeatures', () => {
  it('takes mean and deviation of hidden states, and the inverse frequency of pieces of words', async () => {
    const rows = [
      [1, 5, 2, 0, 1, 0, 0, -2],
      [3, 5, 2, 0, 0, 0, 0, 1],
      [5, 5, 2, 1, -1, 0, 0, 1],
    ];
    const features = Uint16Array.from(rows.flat(), f32ToF16);
    const targets = new Targets('single', 2, [[0], [1], [0]]);
    const source = { ...rowsOf(features, 8, targets), partSize: 4, hashedSize: 4 };
    const shape = { numLabels: 2, featureSize: 8, partSize: 4, batchRowsMax: 64 };
    const workspace = new LinearWorkspace(await loadKernels(), shape);
    finish(measureFeatures(workspace, source, decode));
    expect([...workspace.means].map((mean) => Number(mean.toFixed(4)))).toEqual([3, 5, 2, 0.3333, 0, 0, 0, 0]);
    const [first, constant, , , twice, never, , always] = workspace.scales;
    expect(first).toBeCloseTo(1 / Math.sqrt(8 / 3), 5);
    expect(constant).toBe(0);
    expect(twice).toBeCloseTo(1 + Math.log(4 / 3), 5);
    expect(never).toBeCloseTo(1 + Math.log(4), 5);
    expect(always).toBe(1);
  });
});
