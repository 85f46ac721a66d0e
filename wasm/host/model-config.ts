/**
 * The shape of a decoder model, as far as the kernels and the engine need it. A manifest carries one; nothing here
 * depends on where the weights came from.
 */
export interface ModelConfig {
  /** Width of the residual stream. A multiple of `GROUP_SIZE`. */
  readonly hiddenSize: number;
  /** Width inside the MLP. A multiple of `GROUP_SIZE`. */
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numQueryHeads: number;
  /** Divides `numQueryHeads`. */
  readonly numKvHeads: number;
  /** A multiple of 16. Rotary embedding covers all of it (half style: element i is paired with i + headDim / 2). */
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  /** Longest sequence the model was trained for, in tokens. */
  readonly contextLengthMax: number;
  /** Whether the query, key and value projections add a bias (qwen2 does). */
  readonly attentionBias: boolean;
  /** Whether the LM head is the embedding matrix. */
  readonly tiedEmbedding: boolean;
}

/**
 * How a tensor's bytes are laid out in a stage file, which is byte for byte how they lie in WASM memory.
 * `qb4w`: group-wise INT4 with an f16 scale and minimum. `qb8w`: group-wise int8 with an f16 scale. `f32`: plain.
 * `docs/weights-format.md` draws the layouts; `wasm/host/pack.ts` writes and reads them.
 */
export type WeightFormat = 'qb4w' | 'qb8w' | 'f32';

/** Weights in one quantisation group, along the input dimension. Equal to ggml's Q4_0/Q4_1/Q8_0 group. */
export const GROUP_SIZE = 32;

/** One tensor that a stage needs: canonical name, `[rows, cols]` (`[n]` for a vector) and layout. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: WeightFormat;
}

/**
 * Names, shapes and formats of every tensor of the layers `[layerStart, layerEnd)`, in file order.
 * `rows` is the output dimension and `cols` the input dimension, as in a PyTorch `Linear`.
 */
export function layerTensors(config: ModelConfig, layerIndex: number): TensorSpec[] {
  const { hiddenSize, intermediateSize, headDim } = config;
  const qSize = config.numQueryHeads * headDim;
  const kvSize = config.numKvHeads * headDim;
  const matrix = (name: string, rows: number, cols: number): TensorSpec => ({
    name: `layers.${layerIndex}.${name}`,
    shape: [rows, cols],
    format: 'qb4w',
  });
  const vector = (name: string, size: number): TensorSpec => ({
    name: `layers.${layerIndex}.${name}`,
    shape: [size],
    format: 'f32',
  });
  return [
    vector('attnNorm', hiddenSize),
    matrix('qProj', qSize, hiddenSize),
    matrix('kProj', kvSize, hiddenSize),
    matrix('vProj', kvSize, hiddenSize),
    ...(config.attentionBias ? [vector('qBias', qSize), vector('kBias', kvSize), vector('vBias', kvSize)] : []),
    matrix('oProj', hiddenSize, qSize),
    vector('mlpNorm', hiddenSize),
    matrix('gateProj', intermediateSize, hiddenSize),
    matrix('upProj', intermediateSize, hiddenSize),
    matrix('downProj', hiddenSize, intermediateSize),
  ];
}

/** Tensors that only the head shard holds: embedding, final norm and, when it is not tied, the LM head. */
export function headTensors(config: ModelConfig): TensorSpec[] {
  const { vocabSize, hiddenSize } = config;
  return [
    { name: 'embedding', shape: [vocabSize, hiddenSize], format: 'qb8w' },
    { name: 'finalNorm', shape: [hiddenSize], format: 'f32' },
    ...(config.tiedEmbedding
      ? []
      : [{ name: 'lmHead', shape: [vocabSize, hiddenSize], format: 'qb8w' } satisfies TensorSpec]),
  ];
}
