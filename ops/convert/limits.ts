/**
 * What a source file may ask of the converter. Model files come from strangers: every length in them is held against one
 * of these before anything is allocated for it.
 */
export const SOURCE_LIMITS = {
  /** GGUF metadata and tensor table. The largest vocabularies in use (200,000 tokens, 450,000 merges) take 14 MB. */
  ggufHeaderBytesMax: 24 * 1024 * 1024,
  /** GGUF metadata entries; real files have 20 to 60. */
  numMetadataMax: 4096,
  /** Tensors of a source file; 512 layers of 12 tensors and the head's. */
  numTensorsMax: 8192,
  /** Elements of one metadata array: a vocabulary, or its merges. */
  arrayLengthMax: 1_000_000,
  /** Elements of all metadata arrays together: tokens, their types, scores, and merges. */
  numArrayElementsMax: 4_000_000,
  /** One metadata string. The longest real ones are chat templates of some 20 kB. */
  stringBytesMax: 1024 * 1024,
  /** Names of metadata entries and tensors. ggml itself allows 64 bytes for a tensor name. */
  nameBytesMax: 256,
  /** Dimensions of a tensor (`GGML_MAX_DIMS`). */
  numDimensionsMax: 4,
  /** `general.alignment`; ggml writes 32. */
  alignmentBytesMax: 65_536,
  /** JSON header of a safetensors file: about 120 bytes for each tensor. */
  safetensorsHeaderBytesMax: 8 * 1024 * 1024,
  /** `config.json` and its kind. */
  configFileBytesMax: 1024 * 1024,
  /** `tokenizer.json`; 200,000 tokens with their merges take 20 MB. */
  tokenizerFileBytesMax: 64 * 1024 * 1024,
  /** Files of one safetensors model. */
  numSafetensorsFilesMax: 64,
} as const;
