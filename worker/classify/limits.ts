/** What classifiers may take, with reasons. Each limit is tested at its value and one past it. */
import { LABELS_MAX, LABELS_MIN } from '../../shards/classify/limits.ts';

export interface ClassifyLimits {
  /** Examples of one classifier. Their features, 6.9 kB each, take 350 MB of an object's 10 GB. */
  readonly examplesMax: number;
  readonly labelsMin: number;
  readonly labelsMax: number;
  /**
   * UTF-8 bytes of a text. It has no more tokens than bytes, and no more tokens than a head shard takes. A longer one is
   * refused: cut, it would be another text than its label was given to.
   */
  readonly textBytesMax: number;
  /** Characters of a label and of a classifier's name, in UTF-16 units. */
  readonly labelLengthMax: number;
  readonly nameLengthMax: number;
  /** Labels of one example of a multi-label classifier. */
  readonly exampleLabelsMax: number;
  /** File of an upload: 50,000 texts of 600 bytes. It is read in pieces and never held as a whole. */
  readonly uploadBytesMax: number;
  /** Body of an upload as JSON, which is parsed as a whole: 33 MiB while it is, of the 66 that a gateway has to spare. */
  readonly jsonBytesMax: number;
  /** Form with a file, which the runtime holds as a whole, and its parts once more. */
  readonly formBytesMax: number;
  /** Examples, and characters of their texts, that go to the object in one call. */
  readonly batchExamplesMax: number;
  readonly batchCharsMax: number;
  /** An upload whose gateway is gone is forgotten after so long. */
  readonly uploadStaleMs: number;
  /** Versions that are kept; a new one displaces the oldest. 500 labels take 6.9 MB each. */
  readonly versionsMax: number;
  /** Classifiers of one tenant. */
  readonly classifiersMax: number;
  /** Classifiers in one page of the list: each is asked for its state. */
  readonly listPageMax: number;
  /** Bytes of a classifier that is imported: 500 labels of 4096 features and its report. */
  readonly importBytesMax: number;
}

export const CLASSIFY_LIMITS: ClassifyLimits = {
  examplesMax: 50_000,
  labelsMin: LABELS_MIN,
  labelsMax: LABELS_MAX,
  textBytesMax: 8192,
  labelLengthMax: 128,
  nameLengthMax: 128,
  exampleLabelsMax: 32,
  uploadBytesMax: 32 * 1024 * 1024,
  jsonBytesMax: 8 * 1024 * 1024,
  formBytesMax: 16 * 1024 * 1024,
  batchExamplesMax: 1000,
  batchCharsMax: 1024 * 1024,
  uploadStaleMs: 15 * 60_000,
  versionsMax: 8,
  classifiersMax: 100,
  listPageMax: 20,
  importBytesMax: 12 * 1024 * 1024,
};

/** How training is cut into events. Tests that stop it in the middle make the slices small. */
export interface TrainingPace {
  /** Texts whose features are asked for in one call, and their tokens: what a head shard takes, in a second or two. */
  readonly featureTextsMax: number;
  readonly featureTokensMax: number;
  /** Calls for features in one event. */
  readonly featureCallsMax: number;
  /** Multiply-adds after which other events have their turn: about 0.1 s. */
  readonly turnMultiplyAdds: number;
  /** Multiply-adds of one event: 2 to 5 s of the 30 s that an event may take. */
  readonly sliceMultiplyAdds: number;
  /**
   * Memory of a training. What its labels leave of it holds features; those that do not fit are read from SQLite again in
   * each pass. The planner counts it, and gives less where a model leaves less.
   */
  readonly trainingBytesMax: number;
  /** Events in a row that fail before the training does: with pauses that double, a quarter of an hour. */
  readonly failuresMax: number;
  readonly failureDelayMs: number;
  /** Pause before looking again whether another object of the isolate has finished its fit: there is memory for one. */
  readonly busyDelayMs: number;
  /** An object that was reset in the middle of its fit never lets go of the memory; after so long it has. */
  readonly leaseStaleMs: number;
}

export const TRAINING_PACE: TrainingPace = {
  featureTextsMax: 128,
  featureTokensMax: 8192,
  featureCallsMax: 8,
  turnMultiplyAdds: 2e9,
  sliceMultiplyAdds: 40e9,
  trainingBytesMax: 84 * 1024 * 1024,
  failuresMax: 10,
  failureDelayMs: 1000,
  busyDelayMs: 2000,
  leaseStaleMs: 120_000,
};
