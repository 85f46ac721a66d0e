/**
 * GGUF files of some architectures store the rows of each query and key head for interleaved RoPE: the two elements that
 * a rotation mixes, i and i + headDim / 2 in the half style, are neighbours. The kernels rotate in half style only, so the
 * rows are put back; moving whole rows loses nothing.
 */

/**
 * Reorders the rows of whole heads from interleaved to half style (inverse of `LlamaModel.permute` in llama.cpp's
 * convert_hf_to_gguf.py): row `2i + s` of a head becomes row `s · headDim / 2 + i`.
 * @param rows whole heads; `rowBytes` bytes a row in any encoding
 */
export function interleavedToHalf(rows: Uint8Array, rowBytes: number, headDim: number): Uint8Array {
  const reordered = new Uint8Array(rows.length);
  const numRows = rows.length / rowBytes;
  for (let row = 0; row < numRows; row++) {
    const rowInHead = row % headDim;
    const target = row - rowInHead + (rowInHead & 1) * (headDim / 2) + (rowInHead >> 1);
    reordered.set(rows.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
  }
  return reordered;
}
