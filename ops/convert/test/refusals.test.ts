/** What the kernels cannot do is refused by name, with a code that stays and a message that says what to do. */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeGguf, type GgufContent, type GgufValue } from '../../testing/gguf-writer.ts';
import { writeTinyHuggingFace, type TinyHuggingFaceOptions } from '../../testing/tiny-hugging-face.ts';
import { tinyGgufContent, writeTinyGguf } from '../../testing/tiny-model.ts';
import { ConvertError, type ConvertErrorCode } from '../convert-error.ts';
import { convertModel } from '../convert-model.ts';

let root: string;
beforeAll(async () => (root = await mkdtemp(path.join(tmpdir(), 'lamina-refusals-'))));
afterAll(() => rm(root, { recursive: true, force: true }));

const content = tinyGgufContent({ shape: { numLayers: 1 } });

/** Code and message of the error, or null when the model was converted. */
async function refusalOf(source: string): Promise<{ code: string; message: string } | null> {
  try {
    await convertModel({ source, outDir: path.join(root, 'out'), modelName: 'refused' });
    return null;
  } catch (error) {
    if (error instanceof ConvertError) {
      return { code: error.code, message: error.message };
    }
    throw error;
  }
}

async function ggufRefusal(changed: GgufContent): ReturnType<typeof refusalOf> {
  const source = path.join(root, 'case.gguf');
  await writeFile(source, encodeGguf(changed));
  return refusalOf(source);
}

function refusal(code: ConvertErrorCode, words: RegExp): unknown {
  return { code, message: expect.stringMatching(words) as unknown };
}

const text = (value: string): GgufValue => ({ type: 'string', value });
const u32 = (value: number): GgufValue => ({ type: 'u32', value });
const f32 = (value: number): GgufValue => ({ type: 'f32', value });
const tokens = content.metadata.get('tokenizer.ggml.tokens') as { value: readonly string[] };
const types = content.metadata.get('tokenizer.ggml.token_type') as { value: readonly number[] };

describe('metadata of a GGUF file', () => {
  it.each<[key: string, value: GgufValue, code: ConvertErrorCode, words: RegExp]>([
    ['general.architecture', text('mamba'), 'unsupported-architecture', /"mamba".*llama, qwen2/],
    ['general.architecture', u32(1), 'invalid-metadata', /general\.architecture should be a string/],
    ['split.count', u32(2), 'split-file', /llama-gguf-split --merge/],
    ['llama.rope.scaling.type', text('yarn'), 'unsupported-rope', /"yarn"/],
    ['llama.rope.scaling.factor', f32(8), 'unsupported-rope', /rope\.scaling\.factor is 8/],
    ['llama.rope.scale_linear', f32(2), 'unsupported-rope', /rope\.scale_linear is 2/],
    ['llama.rope.dimension_count', u32(8), 'unsupported-hyperparameter', /rope\.dimension_count is 8.*partial rotary/],
    ['llama.attention.value_length', u32(32), 'unsupported-hyperparameter', /attention\.value_length is 32/],
    ['llama.expert_count', u32(8), 'unsupported-hyperparameter', /mixture of 8 experts/],
    ['llama.attention.sliding_window', u32(4), 'unsupported-hyperparameter', /llama\.attention\.sliding_window/],
    ['llama.attention.head_count_kv', { type: 'i32s', value: [2] }, 'invalid-metadata', /head_count_kv/],
    ['llama.attention.head_count_kv', u32(3), 'unsupported-hyperparameter', /3 does not divide the 4/],
    ['llama.attention.head_count', u32(0), 'unsupported-hyperparameter', /numQueryHeads/],
    ['llama.embedding_length', u32(65), 'unsupported-hyperparameter', /hiddenSize.*multiple of 32/],
    ['llama.block_count', u32(1_000_000), 'unsupported-hyperparameter', /numLayers/],
    ['llama.block_count', u32(2), 'missing-tensor', /blk\.1\.attn_norm\.weight/],
    ['llama.feed_forward_length', u32(128), 'tensor-shape', /ffn_gate\.weight has shape \[96, 64\]/],
    ['llama.rope.freq_base', f32(NaN), 'invalid-metadata', /rope\.freq_base should be a finite number/],
    ['tokenizer.ggml.model', text('llama'), 'unsupported-vocabulary', /"llama".*byte-level BPE/],
    ['tokenizer.ggml.pre', text('tekken'), 'unsupported-vocabulary', /"tekken".*smollm/],
    ['tokenizer.ggml.pre', text('__proto__'), 'unsupported-vocabulary', /"__proto__"/],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: true }, 'unsupported-vocabulary', /space/],
    ['tokenizer.ggml.tokens', { type: 'i32s', value: [1] }, 'invalid-metadata', /array of strings/],
    ['tokenizer.ggml.tokens', { type: 'strings', value: [...tokens.value.slice(1), 'he'] }, 'invalid-metadata', /"he"/],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: [3, 3] }, 'invalid-metadata', /types of 2/],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: types.value.with(9, 6) }, 'unsupported-vocabulary', /type 6/],
    ['tokenizer.ggml.merges', { type: 'strings', value: ['q z'] }, 'invalid-metadata', /"q z"/],
    ['tokenizer.ggml.merges', { type: 'strings', value: ['the'] }, 'invalid-metadata', /"the"/],
    ['tokenizer.ggml.eos_token_id', u32(300), 'invalid-metadata', /special token 300/],
    ['tokenizer.chat_template', u32(1), 'invalid-metadata', /chat_template should be a string/],
  ])('%s = %o', async (key, value, code, words) => {
    expect(await ggufRefusal({ ...content, metadata: new Map(content.metadata).set(key, value) })).toEqual(
      refusal(code, words),
    );
  });

  it.each([
    'general.architecture',
    'llama.block_count',
    'llama.embedding_length',
    'llama.attention.head_count',
    'llama.attention.layer_norm_rms_epsilon',
    'llama.context_length',
    'tokenizer.ggml.model',
    'tokenizer.ggml.pre',
    'tokenizer.ggml.tokens',
    'tokenizer.ggml.token_type',
    'tokenizer.ggml.merges',
  ])('without %s', async (key) => {
    const metadata = new Map(content.metadata);
    metadata.delete(key);
    expect(await ggufRefusal({ ...content, metadata })).toEqual(
      refusal('missing-metadata', new RegExp(`no metadata entry ${key}`)),
    );
  });

  it('a model that nothing ends', async () => {
    const metadata = new Map(content.metadata).set('tokenizer.ggml.token_type', {
      type: 'i32s',
      value: types.value.map(() => 1),
    });
    metadata.delete('tokenizer.ggml.eos_token_id');
    expect(await ggufRefusal({ ...content, metadata })).toEqual(refusal('invalid-metadata', /no answer would end/));
  });
});

describe('tensors of a GGUF file', () => {
  it('one too many', async () => {
    const extra = { name: 'rope_freqs.weight', shape: [8], type: 'F32', data: new Uint8Array(32) } as const;
    expect(await ggufRefusal({ ...content, tensors: [...content.tensors, extra] })).toEqual(
      refusal('unexpected-tensor', /rope_freqs/),
    );
  });

  it.each(['token_embd.weight', 'output_norm.weight', 'blk.0.attn_v.weight'])('without %s', async (name) => {
    const tensors = content.tensors.filter((tensor) => tensor.name !== name);
    expect(await ggufRefusal({ ...content, tensors })).toEqual(refusal('missing-tensor', new RegExp(name)));
  });

  it('of a type that is not supported', async () => {
    const tensors = content.tensors.map((tensor) =>
      tensor.name === 'blk.0.attn_v.weight' ? { ...tensor, type: 'Q2_K' as const } : tensor,
    );
    expect(await ggufRefusal({ ...content, tensors })).toEqual(
      refusal('unsupported-tensor-type', /attn_v.*Q2_K.*Q4_1/),
    );
  });

  it('with a weight that is not a number', async () => {
    const tensors = content.tensors.map((tensor) =>
      tensor.name === 'output_norm.weight' ? { ...tensor, data: tensor.data.map(() => 0xff) } : tensor,
    );
    expect(await ggufRefusal({ ...content, tensors })).toEqual(
      refusal('weight-out-of-range', /output_norm\.weight.*element 0/),
    );
  });
});

describe('files', () => {
  it('that are one part of a split model', async () => {
    await writeTinyGguf(path.join(root, 'model-00001-of-00003.gguf'));
    expect(await refusalOf(path.join(root, 'model-00001-of-00003.gguf'))).toEqual(
      refusal('split-file', /llama-gguf-split/),
    );
    await writeTinyHuggingFace(path.join(root, 'split'), { numFiles: 2 });
    const part = path.join(root, 'split', 'model-00001-of-00002.safetensors');
    expect(await refusalOf(part)).toEqual(refusal('split-file', /give the folder/));
  });

  it('that are not there or are something else', async () => {
    expect(await refusalOf(path.join(root, 'nowhere.gguf'))).toEqual(refusal('source-unreadable', /nowhere\.gguf/));
    await writeFile(path.join(root, 'notes.txt'), 'These are notes, not weights.');
    expect(await refusalOf(path.join(root, 'notes.txt'))).toEqual(refusal('unknown-format', /"GGUF"/));
    await writeFile(path.join(root, 'old.gguf'), Uint8Array.of(0x47, 0x47, 0x55, 0x46, 1, 0, 0, 0));
    expect(await refusalOf(path.join(root, 'old.gguf'))).toEqual(refusal('unknown-format', /version 1/));
    await writeFile(path.join(root, 'big-endian.gguf'), Uint8Array.of(0x47, 0x47, 0x55, 0x46, 0, 0, 0, 3));
    expect(await refusalOf(path.join(root, 'big-endian.gguf'))).toEqual(refusal('unknown-format', /little-endian/));
  });
});

describe('a Hugging Face folder', () => {
  const tiny: TinyHuggingFaceOptions = { shape: { numLayers: 1 } };
  it.each<[field: string, value: unknown, code: ConvertErrorCode, words: RegExp]>([
    ['model_type', 'gemma', 'unsupported-architecture', /"gemma"/],
    ['rope_scaling', { rope_type: 'llama3', factor: 32 }, 'unsupported-rope', /"llama3"/],
    ['rope_parameters', { rope_type: 'yarn' }, 'unsupported-rope', /"yarn"/],
    ['hidden_act', 'gelu', 'unsupported-hyperparameter', /hidden_act is "gelu"/],
    ['attention_bias', true, 'unsupported-hyperparameter', /attention_bias/],
    ['mlp_bias', true, 'unsupported-hyperparameter', /mlp_bias/],
    ['use_sliding_window', true, 'unsupported-hyperparameter', /use_sliding_window/],
    ['partial_rotary_factor', 0.5, 'unsupported-hyperparameter', /partial_rotary_factor/],
    ['quantization_config', { quant_method: 'awq' }, 'unsupported-hyperparameter', /quantization_config/],
    ['head_dim', 24, 'unsupported-hyperparameter', /headDim/],
    ['hidden_size', '64', 'invalid-metadata', /hidden_size/],
    ['hidden_size', null, 'missing-metadata', /hidden_size/],
    ['vocab_size', 200, 'invalid-metadata', /token 299/],
    ['vocab_size', 304, 'tensor-shape', /embed_tokens/],
    ['tie_word_embeddings', false, 'missing-tensor', /lm_head/],
  ])('with %s = %o', async (field, value, code, words) => {
    const dir = path.join(root, `config-${field}`);
    await writeTinyHuggingFace(dir, { ...tiny, config: { [field]: value } });
    expect(await refusalOf(dir)).toEqual(refusal(code, words));
  });

  it.each(['config.json', 'tokenizer.json', 'model.safetensors'])('without %s', async (name) => {
    const dir = path.join(root, `without-${name}`);
    await writeTinyHuggingFace(dir, tiny);
    await rm(path.join(dir, name));
    expect(await refusalOf(dir)).toEqual(refusal('source-unreadable', new RegExp(name)));
  });

  it.each([
    ['Unigram', { model: { type: 'Unigram', vocab: [] } }, 'unsupported-vocabulary', /"Unigram"/],
    ['no byte level', { model: { type: 'BPE', vocab: {} }, decoder: null }, 'unsupported-vocabulary', /byte-level/],
    [
      'a token without id',
      { model: { type: 'BPE', vocab: { a: 'x' } }, decoder: { type: 'ByteLevel' } },
      'malformed',
      /no proper id/,
    ],
  ] as const)('with a tokenizer of %s', async (_name, tokenizer, code, words) => {
    const dir = path.join(root, 'tokenizer');
    await writeTinyHuggingFace(dir, tiny);
    await writeFile(path.join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
    expect(await refusalOf(dir)).toEqual(refusal(code, words));
  });

  it('whose index leads out of the folder or names no file', async () => {
    const dir = path.join(root, 'index');
    await writeTinyHuggingFace(dir, { ...tiny, numFiles: 2 });
    await copyFile(path.join(dir, 'model-00001-of-00002.safetensors'), path.join(root, 'outside.safetensors'));
    const writeIndex = (weightMap: unknown) =>
      writeFile(path.join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
    await writeIndex({ a: '../outside.safetensors' });
    expect(await refusalOf(dir)).toEqual(refusal('malformed', /no plain file name/));
    await writeIndex({});
    expect(await refusalOf(dir)).toEqual(refusal('malformed', /names 0 files/));
  });
});
