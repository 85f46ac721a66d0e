/**
 * Pages that the head has beyond `numPages`, for features of texts, which need no ring: a micro-batch of 64 tokens in
 * texts of four tokens or more. They are of no meaning from one micro-batch to the next, so no page table has them.
 */
export const NUM_FEATURE_PAGES = 16;

/** What the planner decided for one stage. A stage script carries it as the JSON variable `STAGE`. */
export interface StageAssignment {
  /** Registry name of the model. */
  readonly model: string;
  /** SHA-256 of `manifest.json`: two stages that disagree refuse to be linked. */
  readonly manifestSha256: string;
  readonly stageIndex: number;
  readonly stageCount: number;
  /** Half-open range of layers. */
  readonly layerStart: number;
  readonly layerEnd: number;
  /** KV pages of the isolate; equal for every stage of a ring, since the head's page tables index all of them. */
  readonly numPages: number;
  /** Longest sequence served, in tokens. */
  readonly contextLengthMax: number;
  /** Most tokens in one step, over all sequences. */
  readonly numTokensMax: number;
  /** Most rows of logits in one call. */
  readonly numLogitRowsMax: number;
  /**
   * Steps that the head keeps on their way round the ring. As many as there are stages when these run side by side; 1
   * when they share a thread, where smaller batches would only cost time.
   */
  readonly stepsInFlightMax: number;
}
