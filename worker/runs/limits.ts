/** What the runs of one tenant may take. Each limit is tested at its value and one past it. */

/** Objects that a tenant's runs are spread over: its id says which one has a run. */
export const RUN_SHARDS_PER_TENANT = 8;

export interface RunLimits {
  /** Runs of one object that are not over. A ring decodes 8 sequences at about the cost of one, and a tenant has 8 objects. */
  readonly liveRunsMax: number;
  /** Runs of one object that can be read, live ones included. */
  readonly keptRunsMax: number;
  /** Bytes of the chunks of one run. 8192 tokens with 5 alternatives each take about 8 MiB; it is read into memory as a whole when it is asked for in one piece. */
  readonly runBytesMax: number;
  /** Bytes of one chunk, or of the one event behind it. With what a batch may have collected before, a row stays below SQLite's 2 MB. */
  readonly chunkBytesMax: number;
  /** Chunks and bytes that are written as one row, and the longest time that a chunk waits to be: a row for each token would cost more than the token. */
  readonly batchChunksMax: number;
  readonly batchBytesMax: number;
  readonly batchMs: number;
  /** Streams of one run that are read at the same time. */
  readonly readersMax: number;
  /** Characters of an `Idempotency-Key`; Stripe's value. */
  readonly keyLengthMax: number;
  /** Lives of the object in a row that may end without a chunk of the run: one that ends them itself must not go on for ever. */
  readonly fruitlessLivesMax: number;
  /** How long a run is kept after it has ended. */
  readonly retentionMs: number;
  /**
   * Pause between two alarms of an object with live runs. An object without events is evicted after 70 s at the earliest, and
   * each alarm gives it new CPU time. It also bounds how long a run rests after a crash when nobody asks for it.
   */
  readonly pulseMs: number;
}

export const DEFAULT_RUN_LIMITS: RunLimits = {
  liveRunsMax: 8,
  keptRunsMax: 512,
  runBytesMax: 16 * 1024 * 1024,
  chunkBytesMax: 512 * 1024,
  batchChunksMax: 64,
  batchBytesMax: 256 * 1024,
  batchMs: 50,
  readersMax: 8,
  keyLengthMax: 255,
  fruitlessLivesMax: 5,
  retentionMs: 5 * 60 * 1000,
  pulseMs: 20_000,
};
