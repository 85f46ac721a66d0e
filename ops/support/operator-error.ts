/**
 * The one error type that operator tools throw on purpose: a sentence that says what is wrong and a sentence that says
 * what to do. `lamina` prints both without a stack and exits with 1 (`code: 'usage'`: with 2).
 */
export type OperatorErrorCode =
  | 'usage'
  | 'address_in_use'
  | 'already_running'
  | 'download_failed'
  | 'model_file_invalid'
  | 'does_not_fit'
  | 'runtime_failed'
  | 'request_failed'
  | 'cancelled';

export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  /** Stable: tests and scripts may match it. The message is for people. */
  readonly code: OperatorErrorCode;
  /** What the operator can do about it; a full sentence, or several lines. */
  readonly hint: string | null;

  constructor(code: OperatorErrorCode, message: string, hint: string | null = null, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}

/** The message of anything that was thrown, with the cause that `fetch` and file errors hide one level down. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const cause = error.cause;
  return cause instanceof Error && cause.message !== '' && !error.message.includes(cause.message)
    ? `${error.message}: ${cause.message}`
    : error.message;
}

/** The `code` of a Node system error (`ENOENT`, `EADDRINUSE`), or null. */
export function systemCodeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
