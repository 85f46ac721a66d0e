/** What a simulation may find wrong, by the checker that found it. */
export type Checker =
  /** A finished request has other tokens or log-probabilities than the undisturbed run. */
  | 'answer'
  /** A request did not end in bounded time, or ended with an error that nothing explains. */
  | 'ending'
  /** After the faults, requests are not served as before. */
  | 'resumption'
  /** A page is lost, counted wrong, or held by nobody. */
  | 'pages'
  /** A page of one tenant is within reach of another. */
  | 'tenants'
  /** Something is longer than its limit. */
  | 'bounds'
  /** Something was thrown that nobody expected. */
  | 'crash';

export class SimFailure extends Error {
  override readonly name = 'SimFailure';
  readonly checker: Checker;

  constructor(checker: Checker, message: string) {
    super(message);
    this.checker = checker;
  }
}

/** @throws SimFailure unless `condition` holds */
export function check(condition: boolean, checker: Checker, message: string): asserts condition {
  if (!condition) {
    throw new SimFailure(checker, message);
  }
}
