/** Bounds of feature extraction on a head shard, with their reasons. */
export interface FeatureLimits {
  /** Texts in one request: what a classification call may hold. */
  readonly textsMax: number;
  /** Tokens of one text; at the pace of an idle shard some five seconds of work. */
  readonly textTokensMax: number;
  /** Parts of one request's features. A text's row of 16 parts of 576 values is 37 kB. */
  readonly partsMax: number;
  /** Requests that are not answered. 200 calls at once are expected; far more would wait longer than clients do. */
  readonly requestsMax: number;
  /** Tokens of all requests that are not answered: half a minute of work, and less than a megabyte. */
  readonly queueTokensMax: number;
  /** Bytes of rows that a reader has not taken. Past it the request pauses, so a slow reader costs no memory. */
  readonly streamBytesMax: number;
  /** A reader that takes nothing for so long is gone, noticed or not. */
  readonly readerStallMs: number;
  /**
   * Work of a turn while nobody streams, in tokens times layers; then waiting events have theirs. Some 20 ms: a chat that
   * begins waits no longer.
   */
  readonly turnTokenLayersMax: number;
  /**
   * Work of a turn between two steps of streams, as a share of what such a step computes. It leaves streams two thirds of
   * the time, and room for what else features cost them: requests, tokenizing, answers, on the same thread where one
   * process serves everything.
   */
  readonly stepShare: number;
  /** A turn is taken after so long even when no step comes: rings take seconds to open or to break. */
  readonly stepWaitMsMax: number;
}

export const FEATURE_LIMITS: FeatureLimits = {
  textsMax: 256,
  textTokensMax: 8192,
  partsMax: 16,
  requestsMax: 512,
  queueTokensMax: 65_536,
  streamBytesMax: 256 * 1024,
  readerStallMs: 60_000,
  turnTokenLayersMax: 320,
  stepShare: 0.4,
  stepWaitMsMax: 100,
};
