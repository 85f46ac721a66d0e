/** Models with random weights, for tests and benchmarks. */
import { stageTensors } from '../host/arena.ts';
import { f32ToF16 } from '../host/f16.ts';
import { headTensors, layerTensors } from '../host/model-config.ts';
import type { ModelConfig, TensorSpec } from '../host/model-config.ts';
import { packQb4w, packQb8w } from '../host/pack.ts';
import type { StageRuntime } from '../host/stage-runtime.ts';
import { Random } from './random.ts';

const GROUP_SIZE = 32;
/** Mean and standard deviation of a quant that is uniform in 0..15, and of one that is uniform in -127..127. */
const QB4W_QUANT_MEAN = 7.5;
const QB4W_QUANT_DEVIATION = 4.6;
const QB8W_QUANT_DEVIATION = 73;

export type RandomTensors = ReadonlyMap<string, Uint8Array>;

/** Packed tensors of a whole model, scaled so that values keep their size from layer to layer. */
export function randomTensors(config: ModelConfig, seed: number): RandomTensors {
  const layers = Array.from({ length: config.numLayers }, (_, layerIndex) => layerTensors(config, layerIndex));
  const random = new Random(seed);
  return new Map([...headTensors(config), ...layers.flat()].map((spec) => [spec.name, randomTensor(spec, random)]));
}

/** Copies a stage's tensors into its memory, each in two parts, as a loader that streams would. */
export function loadTensors(runtime: StageRuntime, tensors: RandomTensors): void {
  for (const { name } of stageTensors(runtime.options)) {
    const bytes = tensors.get(name);
    if (bytes === undefined) {
      throw new RangeError(`no tensor ${name}`);
    }
    const middle = bytes.length >> 1;
    runtime.weightView(name).set(bytes.subarray(0, middle));
    runtime.weightView(name).set(bytes.subarray(middle), middle);
  }
  runtime.weightsReady();
}

function randomTensor({ name, shape, format }: TensorSpec, random: Random): Uint8Array {
  const [rows, cols] = [shape[0] ?? 0, shape[1] ?? 0];
  if (format === 'f32') {
    const center = name.endsWith('Norm') ? 1 : 0;
    return new Uint8Array(Float32Array.from({ length: rows }, () => center + random.normal() * 0.2).buffer);
  }
  return format === 'qb4w' ? randomQb4w(rows, cols, random) : randomQb8w(rows, cols, random);
}

export function randomQb4w(rows: number, cols: number, random: Random): Uint8Array<ArrayBuffer> {
  const numGroups = (rows * cols) / GROUP_SIZE;
  const scales = Array.from({ length: numGroups }, () => randomScale(cols, random) / QB4W_QUANT_DEVIATION);
  return packQb4w(
    rows,
    cols,
    Uint8Array.from({ length: rows * cols }, () => random.integer(0, 15)),
    Uint16Array.from(scales, f32ToF16),
    Uint16Array.from(scales, (scale) => f32ToF16(-scale * (QB4W_QUANT_MEAN + random.normal()))),
  );
}

export function randomQb8w(rows: number, cols: number, random: Random): Uint8Array<ArrayBuffer> {
  return packQb8w(
    rows,
    cols,
    Int8Array.from({ length: rows * cols }, () => random.integer(-127, 127)),
    Uint16Array.from({ length: (rows * cols) / GROUP_SIZE }, () =>
      f32ToF16(randomScale(cols, random) / QB8W_QUANT_DEVIATION),
    ),
  );
}

/** Weights of deviation 1 / sqrt(cols) keep the size of what they multiply; some groups are larger than others. */
function randomScale(cols: number, random: Random): number {
  return (0.5 + random.unit()) / Math.sqrt(cols);
}
