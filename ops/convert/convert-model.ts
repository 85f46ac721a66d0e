/**
 * Model file → converted-model folder: stage files with packed weights, `manifest.json`, `tokenizer.json`, `chat.json`.
 * The same source gives the same bytes on every machine.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MANIFEST_VERSION, type Manifest } from '../../shards/model/manifest.ts';
import { parseManifest } from '../../shards/model/parse-manifest.ts';
import type { TensorSpec } from '../../wasm/host/model-config.ts';
import type { ChatConfig } from '../../worker/tokenizer/chat-config.ts';
import { isRotated } from './architectures.ts';
import { writeFolderAtomically } from './atomic-folder.ts';
import { ConvertError } from './convert-error.ts';
import { readExactly } from './file-reads.ts';
import { modelTensors, type ModelSource, type SourceTensor } from './model-source.ts';
import { openSourceModel } from './open-source-model.ts';
import { StageFileWriter } from './stage-file-writer.ts';
import { encodeRows } from './weights/encode-rows.ts';
import { interleavedToHalf } from './weights/row-order.ts';

/**
 * Bump whenever the same source would give other bytes: then models that were converted before are converted again,
 * because `convertedModelKey` changes with it.
 */
const CONVERTER_VERSION = 1;

/** Weights that are in memory at a time, decoded: 1 Mi values take 2 MB in the source and some 10 MB on their way. */
const CHUNK_ELEMENTS = 1024 * 1024;

/** Rows in a tile of the packed layouts; a chunk of rows that is not the last one is a multiple of it. */
const TILE_ROWS = 8;

export interface ConvertOptions {
  /** A GGUF file, a safetensors file, or a folder with safetensors and config.json. */
  readonly source: string;
  /** Becomes the folder of the converted model; replaced if it exists. Its parents are created. */
  readonly outDir: string;
  /** Goes into the manifest and chat.json. */
  readonly modelName: string;
  /** Gets bytes of the source that were hashed or converted; the source is read once for each. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Names the result of a conversion (lower-case hex): another source, model name, manifest version or converter gives
 * another key.
 */
export function convertedModelKey(input: { readonly sourceSha256: string; readonly modelName: string }): string {
  const parts = [MANIFEST_VERSION, CONVERTER_VERSION, input.sourceSha256, input.modelName];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/**
 * Converts a model. `outDir` appears only when everything is on disk.
 * @throws ConvertError for a source that cannot be converted; other errors (a full disk) as they come
 */
export async function convertModel(options: ConvertOptions): Promise<Manifest> {
  const { source, outDir, modelName, onProgress } = options;
  let bytesDone = 0;
  let bytesTotal = 0;
  const report = (bytes: number): void => {
    bytesDone += bytes;
    onProgress?.(bytesDone, bytesTotal);
  };
  const model = await openSourceModel(source, {
    onSize: (bytes) => (bytesTotal = 2 * bytes),
    onHashed: report,
  });
  try {
    return await writeFolderAtomically(outDir, async (dir) => {
      const manifest = await writeWeights(dir, model, modelName, report);
      const chat: ChatConfig = { model: modelName, ...model.chat };
      await writeFile(path.join(dir, 'tokenizer.json'), model.tokenizerJson);
      await writeFile(path.join(dir, 'chat.json'), jsonText(chat));
      // Written last and read back through the parser that every shard uses.
      const text = jsonText(manifest);
      await writeFile(path.join(dir, 'manifest.json'), text);
      const checked = parseManifest(JSON.parse(text));
      onProgress?.(bytesTotal, bytesTotal);
      return checked;
    });
  } finally {
    await model.close();
  }
}

async function writeWeights(
  dir: string,
  model: ModelSource,
  modelName: string,
  onConverted: (bytes: number) => void,
): Promise<Manifest> {
  const writer = new StageFileWriter(dir);
  try {
    for (const spec of modelTensors(model.config)) {
      const tensor = model.tensors.get(spec.name);
      if (tensor === undefined) {
        throw new Error(`the source was opened without the tensor ${spec.name}`);
      }
      await writer.beginTensor(spec, partOf(spec));
      const headDim = model.rowOrder === 'interleaved' && isRotated(spec.name) ? model.config.headDim : null;
      await writeTensor(writer, spec, tensor, headDim, onConverted);
      writer.endTensor();
    }
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  const { files, tensors } = await writer.finish();
  return {
    version: MANIFEST_VERSION,
    model: modelName,
    architecture: model.architecture,
    sourceSha256: model.sha256,
    config: model.config,
    files,
    tensors,
  };
}

/** @param headDim not null: the rows are those of heads of this size, in interleaved order */
async function writeTensor(
  writer: StageFileWriter,
  spec: TensorSpec,
  tensor: SourceTensor,
  headDim: number | null,
  onConverted: (bytes: number) => void,
): Promise<void> {
  // A vector is one value a row when its rows are reordered, else one row.
  const [rows, cols] =
    spec.shape.length === 2
      ? [spec.shape[0] ?? 0, spec.shape[1] ?? 0]
      : headDim === null
        ? [1, spec.shape[0] ?? 0]
        : [spec.shape[0] ?? 0, 1];
  const rowBytes = tensor.bytes / rows;
  const rowsPerChunk = chunkRows(cols, headDim ?? TILE_ROWS);
  for (let row = 0; row < rows; row += rowsPerChunk) {
    const numRows = Math.min(rowsPerChunk, rows - row);
    const source = await readExactly(tensor.file, tensor.offset + row * rowBytes, numRows * rowBytes);
    const ordered = headDim === null ? source : interleavedToHalf(source, rowBytes, headDim);
    await writer.write(encodeNamed(spec, tensor, numRows, cols, ordered));
    onConverted(source.length);
  }
}

function encodeNamed(
  spec: TensorSpec,
  tensor: SourceTensor,
  rows: number,
  cols: number,
  bytes: Uint8Array,
): Uint8Array {
  try {
    return encodeRows(spec.format, tensor.type, rows, cols, bytes);
  } catch (error) {
    if (error instanceof ConvertError) {
      throw new ConvertError(error.code, `tensor ${tensor.name}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/** Rows of a chunk: as many as `CHUNK_ELEMENTS` allows, at least one unit. A head is a multiple of 16 rows: whole tiles. */
function chunkRows(cols: number, unitRows: number): number {
  return Math.max(1, Math.floor(CHUNK_ELEMENTS / (cols * unitRows))) * unitRows;
}

function partOf(spec: TensorSpec): number | 'head' {
  const [, layerIndex] = spec.name.split('.');
  return layerIndex === undefined ? 'head' : Number(layerIndex);
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
