/** The minimiser on functions whose minimum is known, and the objective against differences of itself. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { LinearWorkspace } from '../../../wasm/host/linear-workspace.ts';
import { Random } from '../../../wasm/test/random.ts';
import { HISTORY_BYTES_MAX, HISTORY_MAX, ITERATIONS_MAX } from '../limits.ts';
import { historyLength, minimise, type Minimum, type Problem, SearchMemory, type Tolerance } from '../minimise.ts';
import { evaluate } from '../objective.ts';
import { Targets, type ClassifierKind } from '../targets.ts';
import { WithinScatter } from '../within-scatter.ts';
import { finish, rowsOf, synthetic } from './synthetic.ts';

const kernels = await loadKernels();
const TOLERANCE = { gradient: 1e-5, decrease: 0 };

/** f(x) = Σ curvature(i) / 2 · (x(i) - i)² */
function quadratic(curvatures: readonly number[]): Problem {
  const weights = new Float32Array(curvatures.length);
  const gradient = new Float32Array(curvatures.length);
  return {
    weights,
    gradient,
    *evaluate() {
      yield 1;
      let sum = 0;
      curvatures.forEach((curvature, at) => {
        const distance = (weights[at] ?? 0) - at;
        gradient[at] = curvature * distance;
        sum += (curvature / 2) * distance * distance;
      });
      return sum;
    },
  };
}

const search = (problem: Problem, tolerance: Tolerance, memory = new SearchMemory(problem.weights.length)): Minimum =>
  finish(minimise(problem, tolerance, memory));

describe('minimise', () => {
  it.each([[[1, 1, 1]], [[1, 10, 100, 1000]], [Array.from({ length: 50 }, (_, at) => 1 + at)]])(
    'finds the minimum of a bowl with curvatures %j',
    (curvatures) => {
      const problem = quadratic(curvatures);
      const { objective, numIterations } = search(problem, TOLERANCE);
      problem.weights.forEach((weight, at) => expect(weight).toBeCloseTo(at, 3));
      expect(objective).toBeLessThan(1e-6);
      expect(numIterations).toBeLessThan(60);
    },
  );

  it('stops at the limit of iterations when nothing else stops it', () => {
    const problem = quadratic([1]);
    // Falls for ever, by less and less.
    const endless: Problem = {
      ...problem,
      *evaluate() {
        yield 1;
        const x = problem.weights[0] ?? 0;
        problem.gradient[0] = -1 / (1 + Math.abs(x));
        return -Math.log1p(Math.abs(x));
      },
    };
    expect(search(endless, { gradient: 0, decrease: 0 }).numIterations).toBe(ITERATIONS_MAX);
  });

  it('keeps its place when no step along the direction helps', () => {
    const problem = quadratic([1, 1]);
    const wrong: Problem = {
      ...problem,
      *evaluate() {
        const value = yield* problem.evaluate();
        problem.gradient.forEach((slope, at) => (problem.gradient[at] = -slope));
        return value;
      },
    };
    const { objective } = search(wrong, TOLERANCE);
    expect([...problem.weights]).toEqual([0, 0]);
    expect(objective).toBe(0.5);
  });

  it('finds the same to the bit in the memory of another search', () => {
    const curvatures = Array.from({ length: 30 }, (_, at) => 1 + at * at);
    const memory = new SearchMemory(curvatures.length);
    search(quadratic(curvatures.toReversed()), TOLERANCE, memory);
    const [again, fresh] = [quadratic(curvatures), quadratic(curvatures)];
    expect(search(again, TOLERANCE, memory)).toEqual(search(fresh, TOLERANCE));
    expect(again.weights).toEqual(fresh.weights);
  });

  it('remembers as many steps as the memory for them allows', () => {
    expect(historyLength(1000)).toBe(HISTORY_MAX);
    const pairBytes = HISTORY_BYTES_MAX / 3;
    expect(historyLength(Math.floor(pairBytes / 8))).toBe(3);
    expect(historyLength(Math.floor(pairBytes / 8) + 1)).toBe(2);
    expect(historyLength(HISTORY_BYTES_MAX)).toBe(1);
  });
});

describe('evaluate', () => {
  it.each(['single', 'multi'] as const)('has the gradient of its %s loss', (kind: ClassifierKind) => {
    const set = synthetic({ numLabels: 3, numExamples: 24, featureSize: 16, noise: 1, seed: 3 });
    const labels = set.labels.map((label, row) =>
      kind === 'multi' && row % 4 === 0 ? [label, (label + 1) % 3] : [label],
    );
    const source = { ...rowsOf(set.features, 16, new Targets(kind, 3, labels)), partSize: 8, hashedSize: 8 };
    const workspace = new LinearWorkspace(kernels, { numLabels: 3, featureSize: 16, partSize: 8, batchRowsMax: 64 });
    workspace.scales.fill(0.7);
    const random = new Random(8);
    workspace.weights.forEach((_, at) => (workspace.weights[at] = random.normal()));
    // More than one batch, and not all rows.
    const rows = Uint32Array.from({ length: 70 }, (_, at) => at + 1);
    const scatter = new WithinScatter(kernels, workspace, 1);
    finish(scatter.measure(source, rows));
    const valueAt = (): number => finish(evaluate(workspace, scatter, source, rows, 2));
    valueAt();
    const gradient = workspace.gradient.slice();
    for (let label = 0; label < 3; label++) {
      for (const col of [0, 5, 15, 16]) {
        const at = label * workspace.cols + col;
        const weight = workspace.weights[at] ?? 0;
        const [up, down] = [0.05, -0.05].map((step) => {
          workspace.weights[at] = weight + step;
          return valueAt();
        }) as [number, number];
        workspace.weights[at] = weight;
        // Differences of f32 sums, and a third derivative of less than 1.
        expect(gradient[at]).toBeCloseTo((up - down) / 0.1, 3);
      }
    }
  });
});
