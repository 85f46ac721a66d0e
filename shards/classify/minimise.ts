/**
 * L-BFGS (Nocedal, "Updating Quasi-Newton Matrices with Limited Storage", 1980): steps along the gradient, bent by what
 * the last steps told about the curvature. Vectors are f32, sums f64.
 */
import { assert } from '../../wasm/host/assert.ts';
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

/** Vectors of a search, beside those of the pairs: where it goes, where it was, and the gradient there. */
const SEARCH_VECTORS = 3;

/** Bytes of a `SearchMemory` that is full. */
export function searchBytes(size: number): number {
  return (SEARCH_VECTORS + 2 * historyLength(size)) * size * Float32Array.BYTES_PER_ELEMENT;
}

/** A step and the change of the gradient along it. */
interface Pair {
  readonly step: Float32Array;
  readonly change: Float32Array;
}

/**
 * The vectors of a search, used again by the next one: a training makes sixteen in a row, and what each of them left
 * behind would lie in an isolate that has room for one.
 */
export class SearchMemory {
  readonly direction: Float32Array;
  readonly before: Float32Array;
  readonly gradientBefore: Float32Array;
  readonly #pairs: readonly Pair[];

  /** @param size of the weights of every search that is to use it */
  constructor(size: number) {
    const vector = () => new Float32Array(size);
    [this.direction, this.before, this.gradientBefore] = [vector(), vector(), vector()];
    this.#pairs = Array.from({ length: historyLength(size) }, () => ({ step: vector(), change: vector() }));
  }

  /** An empty history in the memory of the last one. */
  newHistory(): History {
    return new History(this.#pairs);
  }
}

/**
 * Moves `problem.weights` to a minimum of a convex objective.
 * @param memory for as many weights; no other search may use it meanwhile
 * @param onIteration is told how many steps were made
 */
export function* minimise(
  problem: Problem,
  tolerance: Tolerance,
  memory: SearchMemory,
  onIteration: (numIterations: number) => void = () => {},
): Work<Minimum> {
  const { weights, gradient } = problem;
  const history = memory.newHistory();
  const { direction, before, gradientBefore } = memory;
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
  /** Memory that holds no pair now. */
  readonly #free: Pair[];
  readonly #pairs: (Pair & { readonly inverse: number })[] = [];

  constructor(memory: readonly Pair[]) {
    this.#free = [...memory];
  }

  get length(): number {
    return this.#pairs.length;
  }

  add(weights: Float32Array, before: Float32Array, gradient: Float32Array, gradientBefore: Float32Array): void {
    const room = this.#free.pop() ?? this.#pairs.shift();
    assert(room !== undefined, 'a history has memory for a pair at least');
    const { step, change } = room;
    for (let at = 0; at < weights.length; at++) {
      step[at] = (weights[at] ?? 0) - (before[at] ?? 0);
      change[at] = (gradient[at] ?? 0) - (gradientBefore[at] ?? 0);
    }
    const curvature = dot(step, change);
    // Not positive only by rounding: such a pair would turn the direction uphill.
    if (curvature > 0) {
      this.#pairs.push({ step, change, inverse: 1 / curvature });
    } else {
      this.#free.push({ step, change });
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
