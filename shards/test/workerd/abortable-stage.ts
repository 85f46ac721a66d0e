/** The stage script with a way for tests to end one object in the middle of whatever it does. */
import { StageShard as RealStageShard } from '../../stage-shard.ts';

export class StageShard extends RealStageShard {
  /** Memory and connections are lost, storage stays. */
  abortSoon(): Promise<void> {
    // Not before the caller has its answer, which would be an exception.
    setTimeout(() => this.ctx.abort('aborted by a test'), 0);
    return Promise.resolve();
  }
}

export { default } from '../../stage-shard.ts';
