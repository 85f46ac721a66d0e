/**
 * The manifest of a converted model: what the stage files hold and how to check them. `ops/convert` writes it, every
 * shard reads it; both go through `parseManifest`, so a field that one side forgets fails on the other.
 */
import type { ModelConfig, WeightFormat } from '../../wasm/host/model-config.ts';

/** Bump when the meaning of any field or any weight layout changes; an older manifest is then refused by number. */
export const MANIFEST_VERSION = 1;

/** Largest stage file. Workers' static assets may be 25 MiB each; one MiB is left for the future. */
export const STAGE_FILE_BYTES_MAX = 24 * 1024 * 1024;

/** Alignment of every extent, so that a view of it in WASM memory is aligned for SIMD loads. */
export const EXTENT_ALIGNMENT_BYTES = 16;

/** One file of weights. A file belongs to exactly one layer, or to the head. */
export interface StageFile {
  /** File name, without a folder. */
  readonly name: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Layer whose tensors it holds, or `'head'` for the embedding, the final norm and the LM head. */
  readonly part: number | 'head';
}

/** Where a run of a tensor's bytes lies. A tensor larger than a file is cut into several extents, in order. */
export interface TensorExtent {
  readonly file: string;
  /** Offset in the file, in bytes. A multiple of `EXTENT_ALIGNMENT_BYTES`. */
  readonly offset: number;
  readonly bytes: number;
}

export interface ManifestTensor {
  /** Canonical name: see `layerTensors` and `headTensors`. */
  readonly name: string;
  /** `[rows, cols]` of a matrix, `[size]` of a vector. */
  readonly shape: readonly number[];
  readonly format: WeightFormat;
  /** Of the tensor's packed bytes, all extents together; lower-case hex. */
  readonly sha256: string;
  readonly extents: readonly TensorExtent[];
}

export interface Manifest {
  readonly version: typeof MANIFEST_VERSION;
  /** Registry name of the model, or the file's own name for a model that is not in the registry. */
  readonly model: string;
  /** Architecture of the source file (`llama`, `qwen2`), for people; the engine looks at `config` only. */
  readonly architecture: string;
  /** SHA-256 of the file that was converted. */
  readonly sourceSha256: string;
  readonly config: ModelConfig;
  readonly files: readonly StageFile[];
  readonly tensors: readonly ManifestTensor[];
}
