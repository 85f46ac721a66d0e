/** A head that writes down what is asked of it about prefixes and tenants, and answers as a test says. */
import { ScriptedHead } from '../../../ops/testing/scripted-head.ts';
import type {
  PrefixFailure,
  PromptPrefix,
  WarmedPrefix,
  WarmPrefixRequest,
} from '../../../shards/engine/prefix-protocol.ts';
import { err, ok, type Result } from '../../../shards/result.ts';

export class PrefixHead extends ScriptedHead {
  readonly warmed: WarmPrefixRequest[] = [];
  readonly unpinned: PromptPrefix[] = [];
  readonly deleted: string[] = [];
  /** Answers of the next calls; afterwards all succeed. */
  readonly failures: PrefixFailure[] = [];
  cachedTokens = 0;

  override warmPrefix(request: WarmPrefixRequest): Promise<Result<WarmedPrefix, PrefixFailure>> {
    this.warmed.push(request);
    const numTokens = request.tokens.length;
    return this.#answer({ numTokens, cachedTokens: this.cachedTokens, numPages: numTokens >> 4, expiresAtMs: 0 });
  }

  override unpinPrefix(prefix: PromptPrefix): Promise<Result<null, PrefixFailure>> {
    this.unpinned.push(prefix);
    return this.#answer(null);
  }

  override deleteTenant(cacheSalt: string): Promise<Result<null, PrefixFailure>> {
    this.deleted.push(cacheSalt);
    return this.#answer(null);
  }

  #answer<T>(value: T): Promise<Result<T, PrefixFailure>> {
    const failure = this.failures.shift();
    return Promise.resolve(failure === undefined ? ok(value) : err(failure));
  }
}
