/** The gateway's script with a way for tests to end one of its objects in the middle of whatever it does. */
import { RunShard as RealRunShard } from '../../index.ts';

export class RunShard extends RealRunShard {
  /** Memory and connections are lost, storage stays. */
  abortSoon(): Promise<void> {
    // Not before the caller has its answer, which would be an exception.
    setTimeout(() => this.ctx.abort('aborted by a test'), 0);
    return Promise.resolve();
  }
}

export { default, PrefixShard } from '../../index.ts';
