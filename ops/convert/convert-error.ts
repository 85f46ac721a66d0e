/** Why a model was not converted. Codes are stable: callers and tests match on them, never on the message. */
export type ConvertErrorCode =
  /** The source is missing, is not a file or folder of the expected kind, or cannot be read. */
  | 'source-unreadable'
  /** Neither a GGUF file nor safetensors. */
  | 'unknown-format'
  /** The source contradicts itself or its format: wrong lengths, offsets outside the file, duplicates. */
  | 'malformed'
  /** A length is above the limit that this converter sets for it. */
  | 'limit-exceeded'
  /** One part of a model that was split into several files. */
  | 'split-file'
  | 'unsupported-architecture'
  /** A hyperparameter, or a value of one, whose arithmetic the kernels do not have. */
  | 'unsupported-hyperparameter'
  | 'unsupported-rope'
  | 'unsupported-tensor-type'
  | 'unsupported-vocabulary'
  | 'missing-metadata'
  | 'invalid-metadata'
  | 'missing-tensor'
  | 'unexpected-tensor'
  | 'tensor-shape'
  /** NaN, infinity, or a magnitude that an f16 scale cannot hold. */
  | 'weight-out-of-range';

/** The only error that `convertModel` throws for a bad source. The message says what is wrong and what to do. */
export class ConvertError extends Error {
  readonly code: ConvertErrorCode;

  constructor(code: ConvertErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConvertError';
    this.code = code;
  }
}
