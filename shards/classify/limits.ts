/** Limits of training and of what it makes. Each is tested at its value and one past it. */

const MIB = 1024 * 1024;

/** Two labels are the fewest that there is a choice between; 500 fill a fifth of an isolate while they are trained. */
export const LABELS_MIN = 2;
export const LABELS_MAX = 500;

/** Folds of cross-validation. More are closer to the final model, which learns from all examples, and take longer. */
export const FOLDS_MAX = 5;

/**
 * Examples that take part in cross-validation; of more, this many are drawn, evenly from each label. What is chosen and
 * measured (C, temperature, accuracy) hardly changes beyond, and the time of training stays bounded.
 */
export const VALIDATED_ROWS_MAX = 10_000;

/** And their logits, examples times labels, which are kept for calibration: 10 MB. */
export const VALIDATED_LOGITS_MAX = 2_500_000;

/**
 * Inverse strengths of L2 regularisation that are tried, ascending: each fit starts from the one before. Features have
 * length 1, which is why they are larger than usual. Loss changes little within a factor of 8.
 */
export const C_PATH = [2, 16, 128] as const;

/** For sets that cannot be cross-validated: near the best of every set that was tried. */
export const C_DEFAULT = 16;

/** Examples in one batch of the kernels: their features, 885 kB at 3456 each, stay in the second cache. */
export const BATCH_ROWS_MAX = 64;

/** A fit of some thousand examples has converged after 30 to 60. */
export const ITERATIONS_MAX = 150;

/** Pairs of steps and changes of the gradient that L-BFGS remembers; more than 10 hardly help. */
export const HISTORY_MAX = 10;
/** And their memory, which matters with hundreds of labels: 500 labels of 3456 features take 14 MB for a pair. */
export const HISTORY_BYTES_MAX = 32 * MIB;

/**
 * Matrices of the scatter within labels: four of hidden states of 896. Of a model whose states are wider fewer parts take
 * part, or none.
 */
export const SCATTER_BYTES_MAX = 4 * 896 ** 2 * 4;

/** Pairs of labels in a report: those most often taken for one another. */
export const CONFUSIONS_MAX = 50;
