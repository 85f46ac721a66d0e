/** What the stages of a ring ask of each other outside of frames, and how long they wait. `docs/protocol.md` tells it whole. */
import type { PageKey } from '../kv/page-key.ts';
import type { PageStore } from '../platform/page-store.ts';
import type { Result } from '../result.ts';
import type { StepDeadlineBounds } from './step-deadline.ts';

/** The head tells every other stage, by RPC, to take part in a new epoch. */
export interface OpenStageRequest {
  readonly epoch: number;
  /** `FRAME_VERSION` and `KV_FORMAT_VERSION` of the head. */
  readonly protocolVersion: number;
  readonly kvFormatVersion: number;
  /** Of the stage that is asked, as the head counts. */
  readonly stageIndex: number;
  readonly stageCount: number;
  readonly manifestSha256: string;
  readonly numPages: number;
  readonly numTokensMax: number;
  readonly contextLengthMax: number;
}

/** A stage that has its weights and is linked to its successor. */
export interface StageOpened {
  readonly layerStart: number;
  readonly layerEnd: number;
  /** Changes whenever the contents of the stage's KV pages may have been lost. */
  readonly kvGeneration: number;
}

export type StageFailureCode =
  /** A stage was asked to be another one: its bindings are mixed up. */
  | 'wrong_assignment'
  /** The stages disagree on protocol, kernels, model, split or a size: a deployment that is not through yet. */
  | 'version_skew'
  /** Weights are missing, cut short or not the ones in the manifest. */
  | 'weights'
  /** Another replica's object uses this isolate's memory. */
  | 'busy'
  /** A neighbour cannot be reached or refused the link. */
  | 'link'
  /** A newer epoch, or a close, overtook this one. */
  | 'superseded'
  | 'deadline'
  /** A kernel trapped, or a frame broke the protocol. */
  | 'crashed';

/** `retryable`: the same may succeed under another epoch, without anybody's help. */
export interface StageFailure {
  readonly code: StageFailureCode;
  readonly retryable: boolean;
  readonly message: string;
}

export type OpenStageResult = Result<StageOpened, StageFailure>;

/** A change of what the stages keep, outside of steps. */
export type PageEdit =
  /** Keeps pages until then, whatever the budget says about others; null lets go of them. */
  | { readonly kind: 'pin'; readonly keys: readonly PageKey[]; readonly untilMs: number | null }
  | { readonly kind: 'delete'; readonly keys: readonly PageKey[] }
  /** Some of what there is of a tenant: see `PageEditResult`. @see tenantKey */
  | { readonly kind: 'deleteTenant'; readonly tenant: string };

export interface PageEditResult {
  /** The edit did a part of what it is to do: it is to be repeated. */
  readonly isMoreLeft: boolean;
}

/** Pages of a tenant that one edit deletes: some ten milliseconds, in which the stage does nothing else. */
export const TENANT_PAGES_EDIT_MAX = 128;

/** Keys in one edit: the pages of the longest sequence that a frame can describe. */
export const PAGE_EDIT_KEYS_MAX = 8192;

/** Another stage as the head sees it: a Durable Object stub when deployed. */
export interface StageControl {
  /** Rejects only when the stage cannot be reached. */
  openStage(request: OpenStageRequest): Promise<OpenStageResult>;
  /** Edits the stage's store, whether or not it is open. Rejects only when the stage cannot be reached. */
  editPages(edit: PageEdit): Promise<PageEditResult>;
}

export function applyPageEdit(store: PageStore, edit: PageEdit): PageEditResult {
  switch (edit.kind) {
    case 'pin':
      store.pin(edit.keys, edit.untilMs);
      return { isMoreLeft: false };
    case 'delete':
      store.delete(edit.keys);
      return { isMoreLeft: false };
    case 'deleteTenant':
      return { isMoreLeft: store.deleteTenant(edit.tenant, TENANT_PAGES_EDIT_MAX) };
    default:
      return edit satisfies never;
  }
}

export interface RingTimings extends StepDeadlineBounds {
  /** From the first open call to a linked ring. Loading 24 MB from assets takes 0.3 s; a cold start some seconds. */
  readonly openDeadlineMs: number;
  /** From an open link to its hello, and from a hello to its welcome. */
  readonly helloDeadlineMs: number;
  /** A ring without work closes its links, so that its objects may be evicted and cost nothing. */
  readonly idleCloseMs: number;
  /** An outgoing WebSocket counts as activity for 15 minutes at most; links are replaced before. */
  readonly rotateAfterMs: number;
  /** A later stage that hears nothing this long gives its links up: the head is gone without a close. */
  readonly stageIdleCloseMs: number;
  /** How long a saved page waits to be written with others. An isolate that dies meanwhile takes as much of its pages along. */
  readonly saveDelayMs: number;
}

export const RING_TIMINGS: RingTimings = {
  openDeadlineMs: 60_000,
  helloDeadlineMs: 10_000,
  stepDeadlineMsMin: 5_000,
  stepDeadlineMsMax: 30_000,
  idleCloseMs: 5_000,
  rotateAfterMs: 13 * 60_000,
  stageIdleCloseMs: 60_000,
  saveDelayMs: 500,
};
