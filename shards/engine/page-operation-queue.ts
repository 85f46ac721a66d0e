/**
 * Page operations that wait for a step to carry them. A step that computes tokens carries all copies and saves that were
 * asked for before it, in order, so a page that was given to another sequence is saved or copied before that one writes to
 * it. Restores are of concern to their own sequence alone: they come after the others, in portions, beside the tokens of
 * everybody else.
 */
import { assert } from '../../wasm/host/assert.ts';
import type { CachedPage } from '../kv/prefix-cache.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { PageOperation } from '../link/page-operation.ts';
import type { Sequence } from './sequence.ts';

/** An operation, and whom its outcome concerns. `numRewinds` is the sequence's when it was asked for: see `isCurrent`. */
export type PendingOperation =
  | { readonly kind: 'save'; readonly entry: CachedPage }
  | {
      readonly kind: 'copy';
      readonly sequence: Sequence;
      readonly numRewinds: number;
      readonly page: number;
      readonly sourcePage: number;
    }
  | {
      readonly kind: 'restore';
      readonly sequence: Sequence;
      readonly numRewinds: number;
      readonly page: number;
      readonly pageIndex: number;
      readonly key: PageKey;
    };

export interface PageOperationLimits {
  readonly pageOperationsStepMax: number;
  readonly pageRestoresStepMax: number;
}

export class PageOperationQueue {
  readonly #limits: PageOperationLimits;
  /** Copies and saves in the order in which they were asked for. */
  #ordered: Exclude<PendingOperation, { kind: 'restore' }>[] = [];
  #restores: Extract<PendingOperation, { kind: 'restore' }>[] = [];

  constructor(limits: PageOperationLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#ordered.length + this.#restores.length;
  }

  /** Whether a sequence can do nothing before a step has carried them. */
  get hasRestores(): boolean {
    return this.#restores.length > 0;
  }

  /** Whether a step could carry what waits and `numMore` further copies and saves. */
  hasRoomFor(numMore: number): boolean {
    return this.#ordered.length + numMore <= this.#limits.pageOperationsStepMax;
  }

  add(operation: PendingOperation): void {
    if (operation.kind === 'restore') {
      this.#restores.push(operation);
    } else {
      this.#ordered.push(operation);
    }
  }

  /** What the next step carries; when it computes tokens, that must be all copies and saves. */
  take(isForTokens: boolean): readonly PendingOperation[] {
    const { pageOperationsStepMax, pageRestoresStepMax } = this.#limits;
    assert(!isForTokens || this.hasRoomFor(0), 'a step with tokens cannot leave a copy or a save behind');
    const ordered = this.#ordered.splice(0, pageOperationsStepMax);
    const numRestores = Math.min(pageRestoresStepMax, pageOperationsStepMax - ordered.length);
    return [...ordered, ...this.#restores.splice(0, numRestores)];
  }

  /** A sequence gave its pages back: what they should have held, nobody wants there any more. */
  dropRestores(sequence: Sequence): void {
    this.#restores = this.#restores.filter((operation) => operation.sequence !== sequence);
  }

  dropSaves(tenant: string): void {
    this.#ordered = this.#ordered.filter(
      (operation) => operation.kind !== 'save' || operation.entry.key.tenant !== tenant,
    );
  }

  clear(): void {
    this.#ordered = [];
    this.#restores = [];
  }
}

/** What crosses the ring. */
export function toPageOperation(pending: PendingOperation): PageOperation {
  if (pending.kind === 'save') {
    return { kind: 'save', page: pending.entry.page, key: pending.entry.key };
  }
  return pending.kind === 'copy'
    ? { kind: 'copy', page: pending.page, sourcePage: pending.sourcePage }
    : { kind: 'restore', page: pending.page, key: pending.key };
}
