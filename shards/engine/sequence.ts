import { PageHashChain } from '../kv/page-hash-chain.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { PagePool } from '../kv/page-pool.ts';
import { PageTable } from '../kv/page-table.ts';
import { TokenHistory, usesHistory } from '../sampling/penalties.ts';
import type { Drafter } from './draft.ts';
import type { GenerateRequest, TokenLogprob } from './protocol.ts';

/**
 * `waiting`: has no pages (new, or preempted). `running`: has pages for all its tokens so far. `finished`: gave its
 * pages back and never runs again.
 */
export type SequenceState = 'waiting' | 'running' | 'finished';

/** Pages that are on their way from the stores. */
export interface RestoreProgress {
  numPending: number;
  /** Pages from the beginning of the sequence that hold what they should, unless further answers say otherwise. */
  numValidPages: number;
}

/** A generation in flight. Counts are named by what they count. */
export class Sequence {
  /** Rises with arrival: the lower id is the older sequence. */
  readonly id: number;
  readonly request: GenerateRequest;
  readonly pageTable: PageTable;
  /** What the penalties look at; null when the request has none. */
  readonly history: TokenHistory | null;
  /** Prompt, then output. */
  readonly tokens: number[];
  readonly numPromptTokens: number;
  readonly #hashes: PageHashChain;
  /** Entry i is about prompt token `promptLogprobsStart` + i, up to the last. */
  readonly promptLogprobs: TokenLogprob[] = [];
  /** Made when it decodes for the first time. */
  drafter: Drafter | null = null;
  state: SequenceState = 'waiting';
  /** Tokens whose keys and values are in the pages. */
  numComputedTokens = 0;
  /** Tokens of steps that are under way. */
  numScheduledTokens = 0;
  /** How often what was computed or scheduled was forgotten. A step from before says nothing about it any more. */
  numRewinds = 0;
  /** Prompt tokens that the first admission found computed; null before it. */
  numCachedTokens: number | null = null;
  /** Pages from the beginning that the prefix cache has been told of. */
  numRegisteredPages = 0;
  /** While it is not null the sequence has pages, but takes no part in steps. */
  restore: RestoreProgress | null = null;
  /** The step that copies the beginning of a page for it has not come back. */
  isCopyUnconfirmed = false;
  /** Whether its pages are registered and saved. */
  keepsPages = true;
  /** Its reader does not keep up: it keeps its pages but takes no part in steps. */
  isPaused = false;
  /** Rings that broke under it, or did not open for it. */
  numRingFailures = 0;

  constructor(id: number, request: GenerateRequest, pool: PagePool) {
    this.id = id;
    this.request = request;
    this.pageTable = new PageTable(pool);
    this.tokens = [...request.promptTokens, ...request.emittedTokens];
    this.numPromptTokens = request.promptTokens.length;
    this.#hashes = new PageHashChain(request.cacheSalt);
    this.history = usesHistory(request.sampling) ? new TokenHistory(request.promptTokens) : null;
    for (const tokenId of request.emittedTokens) {
      this.history?.addOutputToken(tokenId);
    }
  }

  /** `tenantKey` of its salt. */
  get tenant(): string {
    return this.#hashes.tenant;
  }

  /** The key of a page that its tokens fill. */
  pageKey(pageIndex: number): PageKey {
    return this.#hashes.key(this.tokens, pageIndex);
  }

  get numOutputTokens(): number {
    return this.tokens.length - this.numPromptTokens;
  }

  /**
   * Tokens that are known but neither computed nor on their way: 1 while decoding, more during prefill. Below 0 while draft
   * tokens are on their way.
   */
  get numUncomputedTokens(): number {
    return this.tokens.length - this.numComputedTokens - this.numScheduledTokens;
  }

  /** Position whose logits tell the next log-probability of the prompt: that of the token before. */
  get promptLogprobPosition(): number {
    return (this.request.promptLogprobsStart ?? 1) - 1 + this.promptLogprobs.length;
  }

  /** Whether all log-probabilities of the prompt that may be asked for are there. */
  get hasPromptLogprobs(): boolean {
    return this.promptLogprobPosition >= this.numPromptTokens - 1;
  }

  /** Whether log-probabilities of the prompt are still to be collected. */
  get wantsPromptLogprobs(): boolean {
    return this.request.numPromptLogprobs !== null && !this.hasPromptLogprobs;
  }

  /** Whether the last known token's logits are needed to choose the next one. */
  get wantsNextToken(): boolean {
    return this.numOutputTokens < this.request.maxTokens;
  }

  appendToken(tokenId: number): void {
    this.tokens.push(tokenId);
    this.history?.addOutputToken(tokenId);
  }

  /**
   * Tokens at the beginning that need not be computed again where their keys and values are known: up to the first whose
   * logits are still to be used. The last one is computed in any case.
   */
  get numReusableTokens(): number {
    return this.wantsPromptLogprobs ? this.promptLogprobPosition : this.tokens.length - 1;
  }

  /** Forgets what was computed, because the pages are lost or given away. */
  rewind(): void {
    this.numComputedTokens = 0;
    this.cancelScheduled();
  }

  /**
   * Forgets steps that will not come back, or whose logits nobody took. Tokens whose logits are still to be used are
   * computed again: with the same results, wherever they stand.
   */
  cancelScheduled(): void {
    this.numComputedTokens = Math.min(this.numComputedTokens, this.numReusableTokens);
    this.numScheduledTokens = 0;
    this.numRewinds++;
  }
}
