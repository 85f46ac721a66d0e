/** Checks the `tokenizer.json` of a Hugging Face model and reads what `chat.json` needs from the files beside it. */
import { ConvertError } from '../convert-error.ts';
import { isObject, parseJsonObject, shown, type JsonObject } from '../json.ts';
import type { ChatParts } from './chat.ts';

/** The texts of a model's folder; null for a file that is not there. */
export interface TokenizerFiles {
  /** `tokenizer.json` */
  readonly tokenizer: string;
  /** `tokenizer_config.json` */
  readonly tokenizerConfig: string | null;
  /** `generation_config.json` */
  readonly generationConfig: string | null;
  /** `chat_template.jinja`, which newer models have instead of the entry in `tokenizer_config.json`. */
  readonly chatTemplate: string | null;
}

/**
 * @param modelConfig config.json
 * @throws ConvertError `unsupported-vocabulary` for anything but BPE, `malformed` or `invalid-metadata`
 */
export function readHuggingFaceTokenizer(files: TokenizerFiles, modelConfig: JsonObject): ChatParts {
  const tokenizer = parseJsonObject(files.tokenizer, 'tokenizer.json');
  const model = tokenizer['model'];
  if (!isObject(model) || model['type'] !== 'BPE' || !isObject(model['vocab'])) {
    throw new ConvertError(
      'unsupported-vocabulary',
      `the model type in tokenizer.json is ${shown(isObject(model) ? model['type'] : undefined)}; use a model with a byte-level BPE vocabulary`,
    );
  }
  if (!steps(tokenizer['decoder'], 'decoders').some(({ type }) => type === 'ByteLevel')) {
    throw new ConvertError(
      'unsupported-vocabulary',
      'the vocabulary in tokenizer.json is not byte-level; use a model with a byte-level BPE vocabulary',
    );
  }
  const { idOf, controlTokenIds } = readVocabulary(model['vocab'], tokenizer['added_tokens']);
  const tokenById = new Map([...idOf].map(([token, id]) => [id, token]));
  const config = parseJsonObject(files.tokenizerConfig ?? '{}', 'tokenizer_config.json');
  const generation = parseJsonObject(files.generationConfig ?? '{}', 'generation_config.json');
  const idOfToken = (name: string): number | null => idOf.get(tokenContent(config[name]) ?? '') ?? null;
  const bosTokenId = idOfToken('bos_token') ?? firstId(modelConfig['bos_token_id']);
  const eosTokenIds = [
    ...[idOfToken('eos_token')].filter((id) => id !== null),
    ...ids(modelConfig['eos_token_id']),
    ...ids(generation['eos_token_id']),
  ];
  return {
    chatTemplate: files.chatTemplate ?? chatTemplateOf(config['chat_template']),
    bosTokenId,
    eosTokenIds,
    addBosToken: addsBosToken(
      config,
      tokenizer['post_processor'],
      bosTokenId === null ? undefined : tokenById.get(bosTokenId),
    ),
    controlTokenIds,
    tokenOf: (id) => tokenById.get(id),
    tokenIdMax: [...tokenById.keys()].reduce((largest, id) => Math.max(largest, id), 0),
  };
}

function readVocabulary(vocab: JsonObject, addedTokens: unknown) {
  const idOf = new Map<string, number>();
  const controlTokenIds = new Set<number>();
  const add = (content: unknown, id: unknown): void => {
    if (typeof content !== 'string' || typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) {
      throw new ConvertError('malformed', 'a token in tokenizer.json has no proper id or content');
    }
    idOf.set(content, id);
  };
  for (const [token, id] of Object.entries(vocab)) {
    add(token, id);
  }
  for (const { id, content, special } of Array.isArray(addedTokens) ? addedTokens.filter(isObject) : []) {
    add(content, id);
    if (special === true) {
      controlTokenIds.add(Number(id));
    }
  }
  return { idOf, controlTokenIds };
}

/** A special token is written as a text or as an object with its content. */
function tokenContent(value: unknown): string | null {
  const content = isObject(value) ? value['content'] : value;
  return typeof content === 'string' ? content : null;
}

/** A template alone, or a list of named ones of which the default is for chats. */
function chatTemplateOf(value: unknown): string | null {
  if (typeof value === 'string') {
    return value;
  }
  const named = Array.isArray(value) ? value.filter(isObject).find(({ name }) => name === 'default') : undefined;
  const template = named?.['template'];
  return typeof template === 'string' ? template : null;
}

function ids(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isSafeInteger(id));
}

function firstId(value: unknown): number | null {
  return ids(value)[0] ?? null;
}

/** What `add_bos_token` says, else whether the post-processor's template for one text begins with that token. */
function addsBosToken(config: JsonObject, postProcessor: unknown, bosToken: string | undefined): boolean {
  if (bosToken === undefined) {
    return false;
  }
  if (typeof config['add_bos_token'] === 'boolean') {
    return config['add_bos_token'];
  }
  return steps(postProcessor, 'processors').some(({ type, single }) => {
    const first: unknown = Array.isArray(single) ? single[0] : null;
    const special = isObject(first) ? first['SpecialToken'] : null;
    return type === 'TemplateProcessing' && isObject(special) && special['id'] === bosToken;
  });
}

/** The steps of a part of tokenizer.json: those of a sequence, or the one that it is. */
function steps(part: unknown, sequenceKey: string): JsonObject[] {
  if (!isObject(part)) {
    return [];
  }
  const sequence = part[sequenceKey];
  return Array.isArray(sequence) ? sequence.filter(isObject) : [part];
}
