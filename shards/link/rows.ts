import type { FrameSequence } from './frame.ts';

/**
 * Copies the rows that the head wants back, in order of the sequences.
 * @param hiddenStates `[at least the step's tokens, hiddenSize]`
 * @returns `[sum of resultRows, hiddenSize]`, in a buffer of its own.
 */
export function gatherRows(
  hiddenStates: Float32Array,
  hiddenSize: number,
  sequences: readonly FrameSequence[],
): Float32Array<ArrayBuffer> {
  const numRows = sequences.reduce((sum, sequence) => sum + sequence.resultRows.length, 0);
  const rows = new Float32Array(numRows * hiddenSize);
  let offset = 0;
  let firstRow = 0;
  for (const { numTokens, resultRows } of sequences) {
    for (let i = 0; i < resultRows.length; i++) {
      const row = firstRow + (resultRows[i] as number);
      rows.set(hiddenStates.subarray(row * hiddenSize, (row + 1) * hiddenSize), offset);
      offset += hiddenSize;
    }
    firstRow += numTokens;
  }
  return rows;
}
