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
  /** Entry i is about prompt token i + 1; complete when it has `numPromptTokens - 1` entries. */
  readonly promptLogprobs: TokenLogprob[] = [];
  /** Made when it decodes for the first time. */
  drafter: Drafter | null = null;
  state: SequenceState = 'waiting';
  /** Tokens whose keys and values are in the pages. */
  numComputedTokens = 0;
  /** Tokens of steps that are under way. */
  numScheduledTokens = 0;
  /** How often what was computed was forgotten. A step that was scheduled before says nothing about it any more. */
  numRewinds = 0;
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
    this.history = usesHistory(request.sampling) ? new TokenHistory(request.promptTokens) : null;
    for (const tokenId of request.emittedTokens) {
      this.history?.addOutputToken(tokenId);
    }
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

  /** Whether log-probabilities of the prompt are still to be collected. */
  get wantsPromptLogprobs(): boolean {
    return this.request.numPromptLogprobs !== null && this.promptLogprobs.length < this.numPromptTokens - 1;
  }

  /** Whether the last known token's logits are needed to choose the next one. */
  get wantsNextToken(): boolean {
    return this.numOutputTokens < this.request.maxTokens;
  }

  appendToken(tokenId: number): void {
    this.tokens.push(tokenId);
    this.history?.addOutputToken(tokenId);
  }

  /** Forgets what was computed, because the pages are lost or given away. */
  rewind(): void {
    this.numComputedTokens = 0;
    this.numScheduledTokens = 0;
    this.numRewinds++;
  }
}
