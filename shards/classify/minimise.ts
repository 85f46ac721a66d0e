/**
 * L-BFGS (Nocedal, "Updating Quasi-Newton Matrices with Limited Storage", 1980): steps along the gradient, bent by what
 * the last steps told about the curvature. Vectors are f32, sums f64.
 */
import { HISTORY_BYTES_MAX, HISTORY_MAX, ITERATIONS_MAX } from './limits.ts';
import type { Work } from './training-rows.ts';

export interface Problem {
  /** Where the search stands; changed by it. */
  readonly weights: Float32Array;
  /** Of the objective at `weights`, after `evaluate`. */
  readonly gradient: Float32Array;
  evaluate(): Work<number>;
}

export interface Tolerance {
  /** Done when no component of the gradient is larger. */
  readonly gradient: number;
  /** Done when a step, and the one before it, lowered the objective by less than this share of it. */
  readonly decrease: number;
}

export interface Minimum {
  readonly objective: number;
  readonly numIterations: number;
  readonly numEvaluations: number;
}

/** Share of the promised decrease that a step has to bring (Armijo's condition). */
const SUFFICIENT_DECREASE = 1e-4;
/** A step that brings too little is shortened to what a parabola says, but to no less and no more than these shares. */
const SHORTEN_MIN = 0.1;
const SHORTEN_MAX = 0.5;
/** Tries along one direction. When none helps, f32 has no more digits to give. */
const TRIES_MAX = 12;

/** Pairs to remember for a problem of `size` weights. */
export function historyLength(size: number): number {
  const pairBytes = 2 * size * Float32Array.BYTES_PER_ELEMENT;
  return Math.max(1, Math.min(HISTORY_MAX, Math.floor(HISTORY_BYTES_MAX / pairBytes)));
}

/** Moves `problem.weights` to a minimum of a convex objective. `onIteration` is told how many steps were made. */
export function* minimise(
  problem: Problem,
  tolerance: Tolerance,
  onIteration: (numIterations: number) => void = () => {},
): Work<Minimum> {
  const { weights, gradient } = problem;
  const history = new History(weights.length);
  const direction = new Float32Array(weights.length);
  const [before, gradientBefore] = [new Float32Array(weights.length), new Float32Array(weights.length)];
  let objective = yield* problem.evaluate();
  let numEvaluations = 1;
  let numIterations = 0;
  let numSmallSteps = 0;
  while (numIterations < ITERATIONS_MAX && largest(gradient) > tolerance.gradient) {
    before.set(weights);
    gradientBefore.set(gradient);
    const slope = history.direction(gradient, direction);
    yield history.length * 4 * weights.length;
    // The first step has no curvature to go by: it is of length 1, in the direction of the gradient.
    let step = history.length === 0 ? 1 / Math.sqrt(-slope) : 1;
    let next = Infinity;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      moveTo(weights, before, direction, step);
      next = yield* problem.evaluate();
      numEvaluations += 1;
      if (next <= objective + SUFFICIENT_DECREASE * step * slope) {
        break;
      }
      const parabola = (-slope * step) / (2 * ((next - objective) / step - slope));
      step = Math.min(Math.max(parabola, SHORTEN_MIN * step), SHORTEN_MAX * step);
    }
    if (!(next < objective)) {
      weights.set(before);
      gradient.set(gradientBefore);
      break;
    }
    history.add(weights, before, gradient, gradientBefore);
    numSmallSteps = objective - next < tolerance.decrease * Math.abs(next) ? numSmallSteps + 1 : 0;
    objective = next;
    numIterations += 1;
    onIteration(numIterations);
    if (numSmallSteps === 2) {
      break;
    }
  }
  return { objective, numIterations, numEvaluations };
}

/** The last steps and the changes of the gradient along them, newest last. */
class History {
  readonly #lengthMax: number;
  readonly #pairs: { readonly step: Float32Array; readonly change: Float32Array; readonly inverse: number }[] = [];

  constructor(size: number) {
    this.#lengthMax = historyLength(size);
  }

  get length(): number {
    return this.#pairs.length;
  }

  add(weights: Float32Array, before: Float32Array, gradient: Float32Array, gradientBefore: Float32Array): void {
    // The oldest pair's memory is used again.
    const old = this.#pairs.length === this.#lengthMax ? this.#pairs.shift() : undefined;
    const step = old?.step ?? new Float32Array(weights.length);
    const change = old?.change ?? new Float32Array(weights.length);
    for (let at = 0; at < weights.length; at++) {
      step[at] = (weights[at] ?? 0) - (before[at] ?? 0);
      change[at] = (gradient[at] ?? 0) - (gradientBefore[at] ?? 0);
    }
    const curvature = dot(step, change);
    // Not positive only by rounding: such a pair would turn the direction uphill.
    if (curvature > 0) {
      this.#pairs.push({ step, change, inverse: 1 / curvature });
    }
  }

  /** Two loops over the pairs (Nocedal and Wright, Algorithm 7.4). @returns the slope along `direction`, negative. */
  direction(gradient: Float32Array, direction: Float32Array): number {
    for (let at = 0; at < gradient.length; at++) {
      direction[at] = -(gradient[at] ?? 0);
    }
    const shares: number[] = [];
    for (const { step, change, inverse } of this.#pairs.toReversed()) {
      const share = inverse * dot(step, direction);
      shares.push(share);
      addScaled(direction, change, -share);
    }
    const newest = this.#pairs.at(-1);
    if (newest !== undefined) {
      const scale = 1 / (newest.inverse * dot(newest.change, newest.change));
      for (let at = 0; at < direction.length; at++) {
        direction[at] = (direction[at] ?? 0) * scale;
      }
    }
    for (const { step, change, inverse } of this.#pairs) {
      addScaled(direction, step, (shares.pop() ?? 0) - inverse * dot(change, direction));
    }
    return dot(gradient, direction);
  }
}

function moveTo(to: Float32Array, from: Float32Array, direction: Float32Array, step: number): void {
  for (let at = 0; at < to.length; at++) {
    to[at] = (from[at] ?? 0) + step * (direction[at] ?? 0);
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) {
    sum += (a[at] ?? 0) * (b[at] ?? 0);
  }
  return sum;
}

function addScaled(to: Float32Array, values: Float32Array, scale: number): void {
  for (let at = 0; at < to.length; at++) {
    to[at] = (to[at] ?? 0) + scale * (values[at] ?? 0);
  }
}

function largest(values: Float32Array): number {
  let result = 0;
  for (const value of values) {
    result = Math.max(result, Math.abs(value));
  }
  return result;
}
