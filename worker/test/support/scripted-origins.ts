/** Origins that do what a script says, for failures that real ones do not make on demand. */
import {
  OriginError,
  type CallResult,
  type CanServe,
  type OriginBackend,
  type OriginErrorCode,
  type OriginEvent,
  type OriginRequest,
  type OriginUsage,
} from '../../origin/origin-backend.ts';
import { AbortedError, unlessAborted } from '../../../shards/client/abort.ts';
import { CAPABILITIES, type Capability } from '../../routing/capabilities.ts';

export type OriginStep =
  | OriginEvent
  | { readonly type: 'fail'; readonly code: OriginErrorCode }
  /** Goes on when the promise resolves; never, without one. */
  | { readonly type: 'wait'; readonly promise?: Promise<void> };

export const servedByA: OriginEvent = { type: 'served_by', originId: 'a', upstreamModel: 'upstream', attempts: 1 };

export const endOf = (usage: Partial<OriginUsage> | null): OriginEvent => ({
  type: 'end',
  usage:
    usage === null ? null : { promptTokens: 0, completionTokens: 0, cachedTokens: 0, reasoningTokens: 0, ...usage },
});

/** A chunk of a chat stream; the head is the upstream's own, which no client may see. */
export const chatChunk = (delta: object, completionTokens: number, finish: string | null = null): OriginEvent => ({
  type: 'chunk',
  completionTokens,
  data: {
    id: 'upstream-id',
    object: 'chat.completion.chunk',
    model: 'upstream',
    choices: [{ index: 0, delta, finish_reason: finish }],
  },
});

export interface ScriptedOriginsOptions {
  readonly models?: readonly string[];
  readonly capabilities?: readonly Capability[];
  /** In place of what follows from the above. */
  readonly canServe?: CanServe;
  readonly callResult?: Readonly<Record<string, unknown>>;
  readonly callError?: OriginErrorCode;
}

export class ScriptedOrigins implements OriginBackend {
  readonly requests: OriginRequest[] = [];
  numAborted = 0;
  readonly #steps: readonly OriginStep[];
  readonly #options: ScriptedOriginsOptions;

  constructor(steps: readonly OriginStep[], options: ScriptedOriginsOptions = {}) {
    this.#steps = steps;
    this.#options = options;
  }

  models() {
    const capabilities = new Set(this.#options.capabilities ?? CAPABILITIES);
    return (this.#options.models ?? ['lamina-pro']).map((id) => ({ id, capabilities, contextLength: 32_768 }));
  }

  canServe(id: string, needs: ReadonlySet<Capability>): CanServe {
    if (this.#options.canServe !== undefined) {
      return this.#options.canServe;
    }
    const model = this.models().find((known) => known.id === id);
    const missing = [...needs].find((need) => model?.capabilities.has(need) !== true);
    if (model === undefined) {
      return { ok: false, reason: 'not_configured' };
    }
    return missing === undefined ? { ok: true } : { ok: false, reason: 'capability', missing };
  }

  async *stream(request: OriginRequest, signal: AbortSignal): AsyncGenerator<OriginEvent, void, undefined> {
    this.requests.push(request);
    let isWhole = false;
    try {
      for (const step of this.#steps) {
        if (step.type === 'fail') {
          throw new OriginError(step.code, `the script says ${step.code}`, { attempts: 2 });
        }
        if (step.type === 'wait') {
          await unlessAborted(step.promise ?? new Promise<void>(() => {}), signal, () => {});
          continue;
        }
        yield step;
      }
      isWhole = true;
    } catch (thrown) {
      isWhole = !(thrown instanceof AbortedError);
      throw thrown;
    } finally {
      this.numAborted += isWhole ? 0 : 1;
    }
  }

  call(request: OriginRequest): Promise<CallResult> {
    this.requests.push(request);
    const { callError, callResult = {} } = this.#options;
    return callError === undefined
      ? Promise.resolve({
          servedBy: { originId: 'a', upstreamModel: 'upstream', attempts: 1 },
          body: callResult,
          usage: { promptTokens: 7, completionTokens: 0, cachedTokens: 0, reasoningTokens: 0 },
        })
      : Promise.reject(new OriginError(callError, `the script says ${callError}`, { attempts: 2 }));
  }

  health() {
    return [];
  }

  probe(): Promise<void> {
    return Promise.resolve();
  }
}
