import { f16ToF32 } from '../../../wasm/host/f16.ts';

/** Every f16 bit pattern's value: 256 KiB that turn the decoding of a scale into one load. */
export const F16_VALUES: Float32Array = Float32Array.from({ length: 0x10000 }, (_, bits) => f16ToF32(bits));
