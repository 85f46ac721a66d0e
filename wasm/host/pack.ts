/**
 * Packs weights into the byte layouts of `docs/weights-format.md` and reads them back. Nothing else knows the order of
 * bytes inside a record, except the kernels, which share `wasm/assembly/layout.ts`.
 *
 * Both layouts cut the matrix into tiles of 8 rows and groups of 32 columns; a record holds one group of one tile, the
 * records of a tile follow each other, and so do tiles. Rows are padded with zeros to a whole tile.
 */
import {
  F16_BYTES,
  F32_BYTES,
  GROUP_COLS,
  QB4W_MINIMA_OFFSET,
  QB4W_QUAD_BYTES,
  QB4W_RECORD_BYTES,
  QB4W_SCALES_OFFSET,
  QB8W_QUAD_BYTES,
  QB8W_RECORD_BYTES,
  QB8W_SCALES_OFFSET,
  QUAD_COLS,
  TILE_ROWS,
} from '../assembly/layout.ts';
import { assert } from './assert.ts';
import type { WeightFormat } from './model-config.ts';

/** Largest value of a qb4w quant. */
const QB4W_QUANT_MAX = 15;
/** Rows in the low nibbles of a qb4w record; as many are in the high ones. */
const LOW_NIBBLE_ROWS = TILE_ROWS / 2;

/** A qb4w matrix `[rows, cols]`: `w = quant * scale + minimum`. Scales and minima are f16 bits, `[rows, cols / 32]`. */
export interface Qb4wMatrix {
  /** 0..15 */
  readonly quants: Uint8Array<ArrayBuffer>;
  readonly scales: Uint16Array<ArrayBuffer>;
  readonly minima: Uint16Array<ArrayBuffer>;
}

/** A qb8w matrix `[rows, cols]`: `w = quant * scale`. Scales are f16 bits, `[rows, cols / 32]`. */
export interface Qb8wMatrix {
  readonly quants: Int8Array<ArrayBuffer>;
  readonly scales: Uint16Array<ArrayBuffer>;
}

/** Bytes of a tensor in a stage file and in WASM memory. `shape` is `[rows, cols]`, or any for `f32`. */
export function packedBytes(format: WeightFormat, shape: readonly number[]): number {
  if (format === 'f32') {
    return shape.reduce((product, size) => product * size, 1) * F32_BYTES;
  }
  const [rows, cols] = shape;
  assert(
    shape.length === 2 && rows !== undefined && cols !== undefined,
    `${format} wants [rows, cols], got [${shape.join(', ')}]`,
  );
  assertShape(rows, cols);
  const numRecords = Math.ceil(rows / TILE_ROWS) * (cols / GROUP_COLS);
  return numRecords * (format === 'qb4w' ? QB4W_RECORD_BYTES : QB8W_RECORD_BYTES);
}

/** @returns `packedBytes('qb4w', [rows, cols])` bytes. @throws AssertionError on wrong lengths or a quant above 15. */
export function packQb4w(
  rows: number,
  cols: number,
  quants: Uint8Array,
  scales: Uint16Array,
  minima: Uint16Array,
): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(packedBytes('qb4w', [rows, cols]));
  assertLengths(rows, cols, quants.length, scales.length, minima.length);
  const view = new DataView(packed.buffer);
  forEachGroup(rows, cols, (row, group) => {
    const record = recordOffset(row, group, cols, QB4W_RECORD_BYTES);
    const rowInTile = row % TILE_ROWS;
    const shift = rowInTile < LOW_NIBBLE_ROWS ? 0 : 4;
    for (let col = 0; col < GROUP_COLS; col++) {
      const quant = quants[row * cols + group * GROUP_COLS + col] ?? 0;
      assert(quant <= QB4W_QUANT_MAX, `qb4w quant ${quant} at row ${row} is above ${QB4W_QUANT_MAX}`);
      const offset = record + qb4wByte(rowInTile, col);
      view.setUint8(offset, view.getUint8(offset) | (quant << shift));
    }
    const source = row * (cols / GROUP_COLS) + group;
    view.setUint16(record + QB4W_SCALES_OFFSET + rowInTile * F16_BYTES, scales[source] ?? 0, true);
    view.setUint16(record + QB4W_MINIMA_OFFSET + rowInTile * F16_BYTES, minima[source] ?? 0, true);
  });
  return packed;
}

/** The inverse of `packQb4w`; the rows of padding are dropped. */
export function unpackQb4w(rows: number, cols: number, packed: Uint8Array): Qb4wMatrix {
  const matrix = {
    quants: new Uint8Array(rows * cols),
    scales: new Uint16Array((rows * cols) / GROUP_COLS),
    minima: new Uint16Array((rows * cols) / GROUP_COLS),
  };
  const view = packedView('qb4w', rows, cols, packed);
  forEachGroup(rows, cols, (row, group) => {
    const record = recordOffset(row, group, cols, QB4W_RECORD_BYTES);
    const rowInTile = row % TILE_ROWS;
    const shift = rowInTile < LOW_NIBBLE_ROWS ? 0 : 4;
    for (let col = 0; col < GROUP_COLS; col++) {
      const byte = view.getUint8(record + qb4wByte(rowInTile, col));
      matrix.quants[row * cols + group * GROUP_COLS + col] = (byte >> shift) & QB4W_QUANT_MAX;
    }
    const target = row * (cols / GROUP_COLS) + group;
    matrix.scales[target] = view.getUint16(record + QB4W_SCALES_OFFSET + rowInTile * F16_BYTES, true);
    matrix.minima[target] = view.getUint16(record + QB4W_MINIMA_OFFSET + rowInTile * F16_BYTES, true);
  });
  return matrix;
}

/** @returns `packedBytes('qb8w', [rows, cols])` bytes. @throws AssertionError on wrong lengths. */
export function packQb8w(rows: number, cols: number, quants: Int8Array, scales: Uint16Array): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(packedBytes('qb8w', [rows, cols]));
  assertLengths(rows, cols, quants.length, scales.length);
  const view = new DataView(packed.buffer);
  forEachGroup(rows, cols, (row, group) => {
    const record = recordOffset(row, group, cols, QB8W_RECORD_BYTES);
    const rowInTile = row % TILE_ROWS;
    for (let col = 0; col < GROUP_COLS; col++) {
      view.setInt8(record + qb8wByte(rowInTile, col), quants[row * cols + group * GROUP_COLS + col] ?? 0);
    }
    const source = row * (cols / GROUP_COLS) + group;
    view.setUint16(record + QB8W_SCALES_OFFSET + rowInTile * F16_BYTES, scales[source] ?? 0, true);
  });
  return packed;
}

/** The inverse of `packQb8w`; the rows of padding are dropped. */
export function unpackQb8w(rows: number, cols: number, packed: Uint8Array): Qb8wMatrix {
  const matrix = { quants: new Int8Array(rows * cols), scales: new Uint16Array((rows * cols) / GROUP_COLS) };
  const view = packedView('qb8w', rows, cols, packed);
  forEachGroup(rows, cols, (row, group) => {
    const record = recordOffset(row, group, cols, QB8W_RECORD_BYTES);
    const rowInTile = row % TILE_ROWS;
    for (let col = 0; col < GROUP_COLS; col++) {
      matrix.quants[row * cols + group * GROUP_COLS + col] = view.getInt8(record + qb8wByte(rowInTile, col));
    }
    const target = row * (cols / GROUP_COLS) + group;
    matrix.scales[target] = view.getUint16(record + QB8W_SCALES_OFFSET + rowInTile * F16_BYTES, true);
  });
  return matrix;
}

/** Byte of a quant in its qb4w record: quads of 4 columns; in a quad, 4 columns of row 0 (low) and 4 (high), 1 and 5, … */
function qb4wByte(rowInTile: number, col: number): number {
  const quad = Math.floor(col / QUAD_COLS);
  return quad * QB4W_QUAD_BYTES + (rowInTile % LOW_NIBBLE_ROWS) * QUAD_COLS + (col % QUAD_COLS);
}

/** Byte of a quant in its qb8w record: quads of 4 columns; in a quad, 4 columns of row 0, of row 1, … of row 7. */
function qb8wByte(rowInTile: number, col: number): number {
  return Math.floor(col / QUAD_COLS) * QB8W_QUAD_BYTES + rowInTile * QUAD_COLS + (col % QUAD_COLS);
}

function recordOffset(row: number, group: number, cols: number, recordBytes: number): number {
  return (Math.floor(row / TILE_ROWS) * (cols / GROUP_COLS) + group) * recordBytes;
}

function forEachGroup(rows: number, cols: number, visit: (row: number, group: number) => void): void {
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < cols / GROUP_COLS; group++) {
      visit(row, group);
    }
  }
}

function packedView(format: WeightFormat, rows: number, cols: number, packed: Uint8Array): DataView {
  const bytes = packedBytes(format, [rows, cols]);
  assert(packed.length === bytes, `${format} [${rows}, ${cols}] takes ${bytes} bytes, got ${packed.length}`);
  return new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
}

function assertShape(rows: number, cols: number): void {
  assert(Number.isSafeInteger(rows) && rows > 0, `rows must be a positive integer, got ${rows}`);
  assert(
    Number.isSafeInteger(cols) && cols > 0 && cols % GROUP_COLS === 0,
    `cols must be a positive multiple of ${GROUP_COLS}, got ${cols}`,
  );
}

function assertLengths(rows: number, cols: number, numQuants: number, ...numGroupValues: number[]): void {
  assert(numQuants === rows * cols, `[${rows}, ${cols}] needs ${rows * cols} quants, got ${numQuants}`);
  for (const length of numGroupValues) {
    assert(
      length === numQuants / GROUP_COLS,
      `[${rows}, ${cols}] needs ${numQuants / GROUP_COLS} scales (and minima), got ${length}`,
    );
  }
}
