/** Prefixes that are to last: computed and pinned by name, let go of, or deleted with everything else of their tenant. */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { PageHashChain } from '../kv/page-hash-chain.ts';
import { tenantKey, type PageKey } from '../kv/page-key.ts';
import type { PrefixCache } from '../kv/prefix-cache.ts';
import type { RingHead } from '../link/ring-head.ts';
import { PAGE_EDIT_KEYS_MAX, type PageEdit, type StageFailure } from '../link/ring-protocol.ts';
import type { Clock } from '../platform/clock.ts';
import { err, ok, type Result } from '../result.ts';
import type { EventSink } from './listeners.ts';
import { REQUEST_LIMITS } from './limits.ts';
import type { PrefixFailure, PromptPrefix, WarmedPrefix, WarmPrefixRequest } from './prefix-protocol.ts';
import type { GenerateEvent, GenerateRequest } from './protocol.ts';
import type { SequencePages } from './sequence-pages.ts';
import type { StepLoop } from './step-loop.ts';
import { GREEDY } from '../sampling/greedy.ts';

export interface PrefixKeeperOptions {
  readonly ring: RingHead;
  readonly clock: Clock;
  readonly cache: PrefixCache;
  readonly pages: SequencePages;
  readonly loop: StepLoop;
  /** Starts a generation whose events go to the sink. @returns why it was refused, or null */
  readonly start: (request: GenerateRequest, sink: EventSink) => Promise<PrefixFailure | null>;
}

/** Parts in which the pages of a tenant are deleted: more than a store that holds nothing else has. */
const TENANT_EDITS_MAX = 64;

export class PrefixKeeper {
  readonly #options: PrefixKeeperOptions;

  constructor(options: PrefixKeeperOptions) {
    this.#options = options;
  }

  /** Computes what of the tokens is not there, has every stage save its pages, and pins them. */
  async warm(request: WarmPrefixRequest): Promise<Result<WarmedPrefix, PrefixFailure>> {
    const { tokens, ttlMs } = request;
    if (!(Number.isSafeInteger(ttlMs) && ttlMs > 0 && ttlMs <= REQUEST_LIMITS.prefixTtlMsMax)) {
      const message = `ttlMs is ${ttlMs}, not between 1 and ${REQUEST_LIMITS.prefixTtlMsMax}`;
      return err({ code: 'invalid_request', message, retryable: false });
    }
    const keys = pageKeys(request);
    const { clock, cache, pages } = this.#options;
    let expiresAtMs = 0;
    const last = await this.#compute(request, () => {
      // While the sequence has them, so that none is evicted in between.
      expiresAtMs = clock.nowMs() + ttlMs;
      cache.pin(keys, expiresAtMs);
      pages.saveAgain(keys);
    });
    if (last.type === 'error') {
      const { type: _, ...failure } = last;
      return err(failure);
    }
    const kept = await this.#keep(keys, expiresAtMs);
    if (!kept.ok) {
      cache.unpin(keys);
      return kept;
    }
    return ok({ numTokens: tokens.length, cachedTokens: last.cachedTokens, numPages: keys.length, expiresAtMs });
  }

  /** Leaves the pages of a prefix to the budget. */
  unpin(prefix: PromptPrefix): Promise<Result<null, PrefixFailure>> {
    const numPages = Math.floor(prefix.tokens.length / PAGE_SIZE_TOKENS);
    if (numPages > PAGE_EDIT_KEYS_MAX) {
      const message = `a prefix of ${numPages} pages, at most ${PAGE_EDIT_KEYS_MAX} are kept`;
      return Promise.resolve(err({ code: 'prompt_too_long', message, retryable: false }));
    }
    const keys = pageKeys(prefix);
    this.#options.cache.unpin(keys);
    return this.#edit({ kind: 'pin', keys, untilMs: null });
  }

  /**
   * Deletes every page of a tenant, in memory and in the stores. Requests of it that run meanwhile go on, but leave nothing
   * behind.
   * @returns an error that is worth a repetition when a stage did not answer, or may have saved a page behind the deletion.
   */
  async deleteTenant(cacheSalt: string): Promise<Result<null, PrefixFailure>> {
    const tenant = tenantKey(cacheSalt);
    this.#options.pages.dropTenant(tenant);
    // Steps that are under way may carry saves of it.
    const isSettled = await this.#options.loop.settle();
    // In parts, between which the stages get on with their steps.
    for (let part = 0; part < TENANT_EDITS_MAX; part++) {
      const edited = await this.#options.ring.editPages({ kind: 'deleteTenant', tenant });
      if (!edited.ok) {
        return err(ringFailure(edited.error));
      }
      if (!edited.value.isMoreLeft) {
        const message = 'the ring broke under steps that may have saved pages of the tenant: delete it again';
        return isSettled ? ok(null) : err({ code: 'ring_failed', message, retryable: true });
      }
    }
    const message = 'more pages of the tenant come than are deleted: delete it again when its requests are over';
    return err({ code: 'ring_failed', message, retryable: true });
  }

  /** @returns the event that ended it. @param onFinish called at that very moment, with the pages still in use */
  #compute(request: WarmPrefixRequest, onFinish: () => void): Promise<EndEvent> {
    const generate: GenerateRequest = {
      requestId: request.requestId,
      promptTokens: request.tokens,
      emittedTokens: [],
      maxTokens: 0,
      sampling: GREEDY,
      stopTokenIds: [],
      numTopLogprobs: null,
      numPromptLogprobs: null,
      cacheSalt: request.cacheSalt,
    };
    return new Promise((resolve, reject) => {
      const write = (event: GenerateEvent): void => {
        if (event.type === 'finish') {
          onFinish();
        }
        if (event.type === 'finish' || event.type === 'error') {
          resolve(event);
        }
      };
      const sink: EventSink = { isFull: false, write, end() {} };
      this.#options.start(generate, sink).then((refusal) => {
        if (refusal !== null) {
          resolve({ type: 'error', ...refusal });
        }
      }, reject);
    });
  }

  /** Waits until every stage has been told to save, then pins in the stores. */
  async #keep(keys: readonly PageKey[], untilMs: number): Promise<Result<null, PrefixFailure>> {
    const { pages, loop } = this.#options;
    while (pages.isSaving(keys) && (await loop.turn())) {
      // Each step may have carried some of them.
    }
    if (!pages.areSaved(keys)) {
      const message = 'pages were lost before all stages had saved them: warm the prefix again';
      return err({ code: 'ring_failed', message, retryable: true });
    }
    return this.#edit({ kind: 'pin', keys, untilMs });
  }

  async #edit(edit: PageEdit): Promise<Result<null, PrefixFailure>> {
    const edited = await this.#options.ring.editPages(edit);
    return edited.ok ? ok(null) : err(ringFailure(edited.error));
  }
}

type EndEvent = Extract<GenerateEvent, { type: 'finish' | 'error' }>;

/** Of all full pages. */
function pageKeys({ tokens, cacheSalt }: PromptPrefix): PageKey[] {
  const chain = new PageHashChain(cacheSalt);
  return Array.from({ length: Math.floor(tokens.length / PAGE_SIZE_TOKENS) }, (_, i) => chain.key(tokens, i));
}

function ringFailure({ message, retryable }: StageFailure): PrefixFailure {
  return { code: 'ring_failed', message, retryable };
}
