/** Opens a GGUF file as a `ModelSource`. */
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { findArchitecture, sourceTensorName } from '../architectures.ts';
import { checkedConfig } from '../checked-config.ts';
import { ConvertError } from '../convert-error.ts';
import { openSource, sha256OfFile } from '../file-reads.ts';
import { matchTensors, type ModelSource } from '../model-source.ts';
import type { SourceObserver } from '../open-source-model.ts';
import { chatConfig } from '../tokenizer/chat.ts';
import { readGgufVocabulary, type Vocabulary } from '../tokenizer/gguf-tokenizer.ts';
import { readGgufConfig } from './gguf-config.ts';
import type { GgufMetadata } from './metadata.ts';
import { readGguf } from './read-gguf.ts';

/** llama.cpp's names for the parts of a split file. */
const SPLIT_FILE_NAME = /-\d{5}-of-\d{5}\.gguf$/i;

/** Pre-tokenizers with which llama.cpp puts the beginning-of-text token in front unless the file says otherwise. */
const ADD_BOS_BY_DEFAULT = new Set(['llama-bpe', 'llama3', 'llama-v3']);

/** @throws ConvertError */
export async function openGgufSource(filePath: string, observer: SourceObserver): Promise<ModelSource> {
  if (SPLIT_FILE_NAME.test(filePath)) {
    throw splitFile(path.basename(filePath));
  }
  const { file, bytes } = await openSource(filePath);
  try {
    return await readSource(filePath, file, bytes, observer);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readSource(
  filePath: string,
  file: FileHandle,
  fileBytes: number,
  observer: SourceObserver,
): Promise<ModelSource> {
  const { metadata, tensors } = await readGguf(filePath, file, fileBytes);
  if ((metadata.optionalInteger('split.count') ?? 1) > 1) {
    throw splitFile(path.basename(filePath));
  }
  observer.onSize(fileBytes);
  const architecture = findArchitecture('name', metadata.string('general.architecture'));
  const vocabulary = readGgufVocabulary(metadata);
  const isTied = !tensors.has(architecture.ggufNames.lmHead);
  const config = checkedConfig(readGgufConfig(metadata, architecture, vocabulary.tokens.length, isTied));
  return {
    architecture: architecture.name,
    config,
    tokenizerJson: vocabulary.tokenizerJson,
    chat: chatConfig(chatParts(metadata, vocabulary), config),
    tensors: matchTensors(
      config,
      tensors,
      (name) => sourceTensorName(architecture.ggufNames, name),
      () => false,
    ),
    rowOrder: architecture.ggufRowOrder,
    sha256: await sha256OfFile(file, fileBytes, observer.onHashed),
    close: () => file.close(),
  };
}

function chatParts(metadata: GgufMetadata, vocabulary: Vocabulary) {
  const eosTokenIds = ['eos', 'eot', 'eom']
    .map((name) => metadata.optionalInteger(`tokenizer.ggml.${name}_token_id`))
    .filter((id) => id !== null);
  return {
    chatTemplate: metadata.optionalString('tokenizer.chat_template'),
    bosTokenId: metadata.optionalInteger('tokenizer.ggml.bos_token_id'),
    eosTokenIds,
    addBosToken:
      metadata.optionalBoolean('tokenizer.ggml.add_bos_token') ??
      ADD_BOS_BY_DEFAULT.has(metadata.string('tokenizer.ggml.pre')),
    controlTokenIds: vocabulary.controlTokenIds,
    tokenOf: (id: number) => vocabulary.tokens[id],
    tokenIdMax: vocabulary.tokens.length - 1,
  };
}

function splitFile(name: string): ConvertError {
  return new ConvertError(
    'split-file',
    `${name} is one part of a split GGUF; join the parts first: llama-gguf-split --merge <first part> <output>`,
  );
}
