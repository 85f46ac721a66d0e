/** A whole decoder in f64, one token after the other: the oracle of a stage's forward pass. */
import { GROUP_SIZE, headTensors, layerTensors } from '../host/model-config.ts';
import type { ModelConfig } from '../host/model-config.ts';
import { add, attention, matmul, rmsNorm, rope, swiglu } from './ops.ts';
import { dequantise, roundToInt8 } from './quantise.ts';

/** The packed bytes of a tensor. */
export type PackedTensors = (name: string) => Uint8Array;

/** What happens to the inputs of projections and to keys and values. */
export interface Rounding {
  activations(values: Float64Array): Float64Array;
  keyValue(head: Float64Array): Float64Array;
}

/** No rounding: the model as its weights define it. */
export const EXACT: Rounding = { activations: (values) => values, keyValue: (head) => head };

/** The rounding that the kernels are specified to do: int8 per group for activations, per head and token for KV. */
export const INT8: Rounding = {
  activations: (values) => roundToInt8(values, GROUP_SIZE),
  keyValue: (head) => roundToInt8(head, head.length),
};

/** Keys and values of a layer's KV head, by position. */
interface KvHead {
  readonly keys: Float64Array[];
  readonly values: Float64Array[];
}

/** One sequence: feed it tokens in order. */
export class ReferenceDecoder {
  readonly #config: ModelConfig;
  readonly #rounding: Rounding;
  readonly #tensors = new Map<string, Float64Array>();
  readonly #cache: KvHead[][];
  #position = 0;

  constructor(config: ModelConfig, packed: PackedTensors, rounding: Rounding) {
    this.#config = config;
    this.#rounding = rounding;
    const layers = Array.from({ length: config.numLayers }, (_, layerIndex) => layerTensors(config, layerIndex));
    for (const spec of [...headTensors(config), ...layers.flat()]) {
      this.#tensors.set(spec.name, dequantise(spec, packed(spec.name)));
    }
    this.#cache = layers.map(() => Array.from({ length: config.numKvHeads }, () => ({ keys: [], values: [] })));
  }

  /** @returns the logits after the token, `[vocabSize]`. */
  next(tokenId: number): Float64Array<ArrayBuffer> {
    const { hiddenSize, vocabSize, rmsNormEps, tiedEmbedding } = this.#config;
    let hidden: Float64Array = this.#tensor('embedding').subarray(tokenId * hiddenSize, (tokenId + 1) * hiddenSize);
    for (let layerIndex = 0; layerIndex < this.#config.numLayers; layerIndex++) {
      hidden = add(hidden, this.#attend(layerIndex, hidden));
      hidden = add(hidden, this.#runMlp(layerIndex, hidden));
    }
    this.#position += 1;
    const normed = this.#rounding.activations(rmsNorm(hidden, this.#tensor('finalNorm'), rmsNormEps));
    return matmul(this.#tensor(tiedEmbedding ? 'embedding' : 'lmHead'), normed, vocabSize);
  }

  #attend(layerIndex: number, hidden: Float64Array): Float64Array {
    const { headDim, numQueryHeads, numKvHeads, ropeTheta, rmsNormEps, hiddenSize } = this.#config;
    const name = `layers.${layerIndex}`;
    const input = this.#rounding.activations(rmsNorm(hidden, this.#tensor(`${name}.attnNorm`), rmsNormEps));
    const queries = this.#project(`${name}.q`, input, numQueryHeads * headDim);
    const keys = this.#project(`${name}.k`, input, numKvHeads * headDim);
    const values = this.#project(`${name}.v`, input, numKvHeads * headDim);
    const output = new Float64Array(queries.length);
    for (let head = 0; head < numQueryHeads; head++) {
      const kvHead = Math.floor((head * numKvHeads) / numQueryHeads);
      const { keys: cachedKeys, values: cachedValues } = this.#kvHead(layerIndex, kvHead);
      if (cachedKeys.length === this.#position) {
        const key = rope(keys.subarray(kvHead * headDim, (kvHead + 1) * headDim), this.#position, ropeTheta);
        cachedKeys.push(this.#rounding.keyValue(key));
        cachedValues.push(this.#rounding.keyValue(values.slice(kvHead * headDim, (kvHead + 1) * headDim)));
      }
      const query = rope(queries.subarray(head * headDim, (head + 1) * headDim), this.#position, ropeTheta);
      output.set(attention(query, cachedKeys, cachedValues), head * headDim);
    }
    return matmul(this.#tensor(`${name}.oProj`), this.#rounding.activations(output), hiddenSize);
  }

  #runMlp(layerIndex: number, hidden: Float64Array): Float64Array {
    const { hiddenSize, intermediateSize, rmsNormEps } = this.#config;
    const name = `layers.${layerIndex}`;
    const input = this.#rounding.activations(rmsNorm(hidden, this.#tensor(`${name}.mlpNorm`), rmsNormEps));
    const gate = matmul(this.#tensor(`${name}.gateProj`), input, intermediateSize);
    const up = matmul(this.#tensor(`${name}.upProj`), input, intermediateSize);
    const activated = this.#rounding.activations(swiglu(gate, up));
    return matmul(this.#tensor(`${name}.downProj`), activated, hiddenSize);
  }

  #project(name: string, input: Float64Array, rows: number): Float64Array {
    const projected = matmul(this.#tensor(`${name}Proj`), input, rows);
    return this.#config.attentionBias ? add(projected, this.#tensor(`${name}Bias`)) : projected;
  }

  #kvHead(layerIndex: number, kvHead: number): KvHead {
    const cached = this.#cache[layerIndex]?.[kvHead];
    if (cached === undefined) {
      throw new RangeError(`no KV head ${kvHead} in layer ${layerIndex}`);
    }
    return cached;
  }

  #tensor(name: string): Float64Array {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new RangeError(`no tensor ${name}`);
    }
    return tensor;
  }
}
