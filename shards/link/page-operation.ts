/**
 * What a step does to whole KV pages before its tokens are computed. Every stage carries the operations of a step out in
 * their order, and steps in theirs: so a page that is saved and then used again is saved with what it held before.
 */
import type { PageKey } from '../kv/page-key.ts';

export type PageOperation =
  /** `page` becomes equal to `sourcePage`: a page that two sequences share in part, before one of them writes to it. */
  | { readonly kind: 'copy'; readonly page: number; readonly sourcePage: number }
  /** Keeps what the page holds under `key`. Written behind: a page that could not be written is missing later. */
  | { readonly kind: 'save'; readonly page: number; readonly key: PageKey }
  /** Fills the page with what was saved under `key`. A stage that does not have it says so in the result. */
  | { readonly kind: 'restore'; readonly page: number; readonly key: PageKey };

/**
 * Operations of one step: 64 pages are 1024 tokens. Reading as many takes a stage some tens of milliseconds, about as long
 * as a step does; a longer prefix takes several steps.
 */
export const PAGE_OPERATIONS_MAX = 64;
