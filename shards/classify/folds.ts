/** Stratified folds: each label's examples are spread evenly, and equal texts stay together. */
import { philox4x32 } from '../sampling/philox.ts';
import { FOLDS_MAX, VALIDATED_LOGITS_MAX, VALIDATED_ROWS_MAX } from './limits.ts';
import type { Targets } from './targets.ts';

/** Fold of a row that is in every training set and never validated: the only example of its label, or one not drawn. */
export const NOT_VALIDATED = -1;

export interface Folds {
  readonly numFolds: number;
  /** Of each row: the fold that validates it, or `NOT_VALIDATED`. */
  readonly foldOf: Int8Array;
  /** Whether the row takes part at all: rows that were not drawn from a large set do not. */
  readonly isDrawn: Uint8Array;
}

/** Any number will do, as long as a training that was cut finds the same folds again. */
const SHUFFLE_KEY = [0x636c6173, 0x73696679] as const;

/**
 * @param groupOf a number for each row; rows with the same number have the same text and get the same fold.
 * @returns null when no label has a second example: nothing could be learnt about what is validated.
 */
export function assignFolds(targets: Targets, groupOf: Uint32Array): Folds | null {
  const { numRows } = targets;
  const isDrawn = new Uint8Array(numRows);
  const foldOf = new Int8Array(numRows).fill(NOT_VALIDATED);
  const numFolds = Math.min(FOLDS_MAX, numRows);
  const foldOfGroup = new Map<number, number>();
  const rowsMax = Math.min(VALIDATED_ROWS_MAX, Math.floor(VALIDATED_LOGITS_MAX / targets.numLabels));
  const share = Math.min(1, rowsMax / numRows);
  let numValidated = 0;
  let nextFold = 0;
  for (const rows of rowsByLabel(targets)) {
    const numDrawn = Math.max(Math.min(rows.length, 2), Math.floor(rows.length * share));
    const drawn = shuffled(rows).slice(0, numDrawn);
    const isAlone = new Set(drawn.map((row) => groupOf[row])).size < 2;
    for (const row of drawn) {
      isDrawn[row] = 1;
      if (isAlone) {
        continue;
      }
      const group = groupOf[row] ?? 0;
      const known = foldOfGroup.get(group);
      const fold = known ?? nextFold;
      if (known === undefined) {
        foldOfGroup.set(group, fold);
        // Goes on where the label before stopped, so that small labels do not all leave the same folds empty.
        nextFold = (nextFold + 1) % numFolds;
      }
      foldOf[row] = fold;
      numValidated += 1;
    }
  }
  return numValidated === 0 ? null : { numFolds, foldOf, isDrawn };
}

/** Rows of each label, by the first one where an example has several; last those that have none. */
function rowsByLabel(targets: Targets): number[][] {
  const rows = Array.from({ length: targets.numLabels + 1 }, (): number[] => []);
  for (let row = 0; row < targets.numRows; row++) {
    const label = targets.firstLabelOf(row);
    rows[label < 0 ? targets.numLabels : label]?.push(row);
  }
  return rows;
}

function shuffled(rows: readonly number[]): number[] {
  const keyed = rows.map((row) => ({ row, key: philox4x32([row, 0, 0, 0], SHUFFLE_KEY)[0] }));
  return keyed.sort((a, b) => a.key - b.key || a.row - b.row).map(({ row }) => row);
}

/** Rows that a fold learns from. */
export function trainingRowsOf(folds: Folds, fold: number): Uint32Array {
  return selectRows(folds, (row) => folds.isDrawn[row] === 1 && folds.foldOf[row] !== fold);
}

/** Rows that a fold validates. */
export function validatedRowsOf(folds: Folds, fold: number): Uint32Array {
  return selectRows(folds, (row) => folds.foldOf[row] === fold);
}

function selectRows(folds: Folds, isSelected: (row: number) => boolean): Uint32Array {
  return Uint32Array.from(Array.from(folds.foldOf.keys()).filter(isSelected));
}
