/**
 * How a long step tells what it is doing, without knowing whether anybody looks. `ops/cli` draws it; tests and other
 * callers pass `silentProgress`.
 */
export interface Step {
  /** Sets how much there is to do, once it is known. `unit: 'bytes'` is shown as megabytes. */
  total(amount: number, unit: 'bytes' | 'items'): void;
  /** How much is done, from 0 to the total. */
  update(done: number): void;
  /** A short remark beside the bar: the file or the source that is being worked on. */
  note(text: string): void;
  /** The step is over; `outcome` is what its line says (`98.4 MB`, `reused`). */
  done(outcome: string): void;
  /** The step has failed; the error itself is thrown, not told here. */
  failed(): void;
}

export interface Progress {
  step(label: string): Step;
  /** A line that is worth keeping, outside any step. */
  info(text: string): void;
  warn(text: string): void;
}

const silentStep: Step = {
  total: () => undefined,
  update: () => undefined,
  note: () => undefined,
  done: () => undefined,
  failed: () => undefined,
};

export const silentProgress: Progress = {
  step: () => silentStep,
  info: () => undefined,
  warn: () => undefined,
};

/** Runs one step; a throw is marked on the step and passed on. `work` returns the outcome beside its value. */
export async function runStep<T>(
  progress: Progress,
  label: string,
  work: (step: Step) => Promise<{ readonly value: T; readonly outcome: string }>,
): Promise<T> {
  const step = progress.step(label);
  try {
    const { value, outcome } = await work(step);
    step.done(outcome);
    return value;
  } catch (error) {
    step.failed();
    throw error;
  }
}
