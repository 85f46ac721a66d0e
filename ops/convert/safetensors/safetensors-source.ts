/** Opens a Hugging Face model, safetensors files with config.json and tokenizer.json beside them, as a `ModelSource`. */
import { createHash } from 'node:crypto';
import { stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { findArchitecture, sourceTensorName } from '../architectures.ts';
import { checkedConfig } from '../checked-config.ts';
import { ConvertError } from '../convert-error.ts';
import { openSource, readTextIfPresent, sha256OfFile } from '../file-reads.ts';
import { SOURCE_LIMITS } from '../limits.ts';
import { matchTensors, type ModelSource, type SourceTensor } from '../model-source.ts';
import type { SourceObserver } from '../open-source-model.ts';
import { chatConfig } from '../tokenizer/chat.ts';
import { readHuggingFaceTokenizer, type TokenizerFiles } from '../tokenizer/hugging-face-tokenizer.ts';
import { readHuggingFaceConfig } from './hugging-face-config.ts';
import { isObject, parseJsonObject, shown } from '../json.ts';
import { readSafetensors } from './read-safetensors.ts';

const INDEX_NAME = 'model.safetensors.index.json';
const SINGLE_FILE_NAME = 'model.safetensors';
/** A name in an index becomes part of a path, so it must be a plain file name. */
const FILE_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/;
const SPLIT_FILE_NAME = /-\d{5}-of-\d{5}\.safetensors$/;

interface OpenFile {
  readonly name: string;
  readonly file: FileHandle;
  readonly bytes: number;
}

/** @param source a folder, or one safetensors file. @throws ConvertError */
export async function openSafetensorsSource(source: string, observer: SourceObserver): Promise<ModelSource> {
  const isFolder = (await stat(source)).isDirectory();
  const dir = isFolder ? source : path.dirname(source);
  const names = isFolder ? await modelFileNames(dir) : [singleFileName(source)];
  const files: OpenFile[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(files.map(({ file }) => file.close()));
  };
  try {
    for (const name of names) {
      files.push({ name, ...(await openSource(path.join(dir, name))) });
    }
    return await readSource(dir, files, observer, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function readSource(
  dir: string,
  files: readonly OpenFile[],
  observer: SourceObserver,
  close: () => Promise<void>,
): Promise<ModelSource> {
  observer.onSize(files.reduce((sum, { bytes }) => sum + bytes, 0));
  const configText = await requiredText(dir, 'config.json', SOURCE_LIMITS.configFileBytesMax);
  const configJson = parseJsonObject(configText, 'config.json');
  const modelType = configJson['model_type'];
  const architecture = findArchitecture('huggingFaceType', typeof modelType === 'string' ? modelType : '');
  const config = checkedConfig(readHuggingFaceConfig(configJson, architecture));
  const texts: TokenizerFiles = {
    tokenizer: await requiredText(dir, 'tokenizer.json', SOURCE_LIMITS.tokenizerFileBytesMax),
    tokenizerConfig: await smallText(dir, 'tokenizer_config.json'),
    generationConfig: await smallText(dir, 'generation_config.json'),
    chatTemplate: await smallText(dir, 'chat_template.jinja'),
  };
  const chat = chatConfig(readHuggingFaceTokenizer(texts, configJson), config);
  const isIgnorable = (name: string): boolean =>
    // Some files hold a copy of the tied embedding, and old ones RoPE's frequencies, which follow from the config.
    (config.tiedEmbedding && name === architecture.huggingFaceNames.lmHead) || name.endsWith('.rotary_emb.inv_freq');
  return {
    architecture: architecture.name,
    config,
    tokenizerJson: texts.tokenizer,
    chat,
    tensors: matchTensors(
      config,
      await allTensors(files),
      (name) => sourceTensorName(architecture.huggingFaceNames, name),
      isIgnorable,
    ),
    rowOrder: 'half',
    sha256: await sourceSha256(files, [configText, ...Object.values(texts)], observer),
    close,
  };
}

async function allTensors(files: readonly OpenFile[]): Promise<Map<string, SourceTensor>> {
  const tensors = new Map<string, SourceTensor>();
  for (const { name: fileName, file, bytes } of files) {
    for (const tensor of await readSafetensors(file, bytes)) {
      if (tensors.has(tensor.name)) {
        throw new ConvertError('malformed', `the tensor ${tensor.name} appears a second time in ${fileName}`);
      }
      tensors.set(tensor.name, tensor);
    }
  }
  return tensors;
}

/** One hash over everything that the conversion reads: of each weight file and each text, in a fixed order. */
async function sourceSha256(
  files: readonly OpenFile[],
  texts: readonly (string | null)[],
  observer: SourceObserver,
): Promise<string> {
  const hashes: (string | null)[] = [];
  for (const { file, bytes } of files) {
    hashes.push(await sha256OfFile(file, bytes, observer.onHashed));
  }
  hashes.push(...texts.map((text) => (text === null ? null : sha256OfText(text))));
  return sha256OfText(JSON.stringify(hashes));
}

function sha256OfText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Weight files of a folder, in alphabetical order: those of its index, or the one that needs none. */
async function modelFileNames(dir: string): Promise<string[]> {
  const indexText = await readTextIfPresent(path.join(dir, INDEX_NAME), SOURCE_LIMITS.safetensorsHeaderBytesMax);
  if (indexText === null) {
    return [SINGLE_FILE_NAME];
  }
  const weightMap = parseJsonObject(indexText, INDEX_NAME)['weight_map'];
  const names = new Set<string>();
  for (const name of isObject(weightMap) ? Object.values(weightMap) : []) {
    if (typeof name !== 'string' || !FILE_NAME_PATTERN.test(name)) {
      throw new ConvertError('malformed', `${INDEX_NAME} names ${shown(name)}, which is no plain file name`);
    }
    names.add(name);
  }
  if (names.size === 0 || names.size > SOURCE_LIMITS.numSafetensorsFilesMax) {
    throw new ConvertError(
      'malformed',
      `${INDEX_NAME} names ${names.size} files; 1 to ${SOURCE_LIMITS.numSafetensorsFilesMax} are expected`,
    );
  }
  return [...names].toSorted();
}

function singleFileName(source: string): string {
  if (SPLIT_FILE_NAME.test(source)) {
    throw new ConvertError('split-file', `${path.basename(source)} is one part of a model; give the folder instead`);
  }
  return path.basename(source);
}

async function requiredText(dir: string, name: string, bytesMax: number): Promise<string> {
  const text = await readTextIfPresent(path.join(dir, name), bytesMax);
  if (text === null) {
    throw new ConvertError('source-unreadable', `${dir} has no ${name}; put it beside the weights`);
  }
  return text;
}

function smallText(dir: string, name: string): Promise<string | null> {
  return readTextIfPresent(path.join(dir, name), SOURCE_LIMITS.configFileBytesMax);
}
