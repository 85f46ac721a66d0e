/** A broken assumption of the program itself, never of its input: nothing catches it to carry on. */
export class AssertionError extends Error {
  readonly code = 'assertion_failed';
  override readonly name = 'AssertionError';
}

/** Throws `AssertionError` with `message` unless `condition` holds. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) {
    throw new AssertionError(message);
  }
}
