/** Writes safetensors files for tests. Format: https://huggingface.co/docs/safetensors */
import { encodeGgml } from './ggml-encode.ts';

export interface SafetensorsTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: 'F32' | 'F16' | 'BF16';
  readonly values: Float32Array;
}

/** The whole file as bytes; the tensors lie one after the other in the given order. */
export function encodeSafetensors(tensors: readonly SafetensorsTensor[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const { name, shape, type, values } of tensors) {
    const data = encodeGgml(type, values);
    header[name] = { dtype: type, shape, data_offsets: [offset, offset + data.length] };
    parts.push(data);
    offset += data.length;
  }
  const encodedHeader = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + encodedHeader.length + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(encodedHeader.length), true);
  file.set(encodedHeader, 8);
  let at = 8 + encodedHeader.length;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}
