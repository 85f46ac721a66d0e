import { describe, expect, it } from 'vitest';
import { TENSOR_TYPES, type TensorTypeName } from '../weights/tensor-types.ts';
import golden from './golden/dequant.json' with { type: 'json' };

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

describe('dequantisation is bit for bit that of the gguf package', () => {
  it('covers every convertible type', () => {
    expect(Object.keys(golden.types).toSorted()).toEqual(Object.keys(TENSOR_TYPES).toSorted());
  });

  it.each(Object.keys(TENSOR_TYPES) as TensorTypeName[])('%s', (name) => {
    const expected = new Float32Array(decode(golden.types[name].values).buffer);
    const actual = new Float32Array(expected.length);
    TENSOR_TYPES[name].dequantize(decode(golden.types[name].bytes), actual);
    expect(new Set(expected).size).toBeGreaterThan(20);
    expect([...new Uint32Array(actual.buffer)]).toEqual([...new Uint32Array(expected.buffer)]);
  });

  it('has the sizes that ggml has', () => {
    for (const [name, { bytes, values }] of Object.entries(golden.types)) {
      const type = TENSOR_TYPES[name as TensorTypeName];
      const numElements = decode(values).length / Float32Array.BYTES_PER_ELEMENT;
      expect((numElements / type.groupElements) * type.groupBytes).toBe(decode(bytes).length);
    }
  });
});
