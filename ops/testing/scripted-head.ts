/** A head shard that does what a script says, for failures that a real ring does not make on demand. */
import type { ReplicaHead } from '../../shards/client/replica-head.ts';
import type { PrefixFailure, PromptPrefix, WarmPrefixRequest } from '../../shards/engine/prefix-protocol.ts';
import type { EngineStats, GenerateEvent, GenerateRequest } from '../../shards/engine/protocol.ts';
import type { Result } from '../../shards/result.ts';

export type ScriptStep =
  | GenerateEvent
  /** Raw bytes, for lines that are no events. */
  | { readonly type: 'raw'; readonly text: string }
  /** The stream fails, as when the object is reset. */
  | { readonly type: 'break' }
  /** Nothing more comes, until the stream is cancelled. */
  | { readonly type: 'hang' }
  /** Goes on when the promise resolves. */
  | { readonly type: 'wait'; readonly promise: Promise<void> };

/** `'reject'`: the call itself fails. `'never'`: it never returns. Without a `finish` the stream ends early. */
export type Script = readonly ScriptStep[] | 'reject' | 'never';

export const tokenEvent = (tokenId: number): GenerateEvent => ({ type: 'token', tokenId, logprob: null });
export const finishEvent: GenerateEvent = {
  type: 'finish',
  reason: 'length',
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
};
export const errorEvent = (
  code: Extract<GenerateEvent, { type: 'error' }>['code'],
  retryable: boolean,
): GenerateEvent => ({ type: 'error', code, message: `the script says ${code}`, retryable });

export class ScriptedHead implements ReplicaHead {
  readonly requests: GenerateRequest[] = [];
  numCancelled = 0;
  readonly #scripts: readonly Script[];

  /** @param scripts one per call; the last one serves all further calls. */
  constructor(...scripts: readonly Script[]) {
    this.#scripts = scripts;
  }

  generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>> {
    this.requests.push(request);
    const script = this.#scripts[Math.min(this.requests.length, this.#scripts.length) - 1];
    if (script === undefined || script === 'reject') {
      return Promise.reject(new Error('the object was reset'));
    }
    return script === 'never' ? new Promise(() => {}) : Promise.resolve(this.#play(script));
  }

  stats(): Promise<EngineStats> {
    return Promise.reject(new Error('the script has no counters'));
  }

  warmPrefix(_request: WarmPrefixRequest): ReturnType<ReplicaHead['warmPrefix']> {
    return Promise.reject(new Error('the script has no prefixes'));
  }

  unpinPrefix(_prefix: PromptPrefix): Promise<Result<null, PrefixFailure>> {
    return Promise.reject(new Error('the script has no prefixes'));
  }

  deleteTenant(_cacheSalt: string): Promise<Result<null, PrefixFailure>> {
    return Promise.reject(new Error('the script has no tenants'));
  }

  drain(): Promise<void> {
    return Promise.reject(new Error('the object was reset'));
  }

  resume(): Promise<void> {
    return Promise.reject(new Error('the object was reset'));
  }

  #play(script: readonly ScriptStep[]): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    let next = 0;
    return new ReadableStream(
      {
        pull: async (controller) => {
          const step = script[next++];
          if (step === undefined) {
            controller.close();
          } else if (step.type === 'break') {
            controller.error(new Error('the link broke'));
          } else if (step.type === 'hang') {
            await new Promise(() => {});
          } else if (step.type === 'wait') {
            await step.promise;
            controller.enqueue(new Uint8Array(0));
          } else {
            controller.enqueue(encoder.encode(step.type === 'raw' ? step.text : `${JSON.stringify(step)}\n`));
          }
        },
        cancel: () => {
          this.numCancelled++;
        },
      },
      { highWaterMark: 0 },
    );
  }
}
