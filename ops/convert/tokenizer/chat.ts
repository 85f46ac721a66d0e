/** What ends an answer, and how the parts of `chat.json` are put together. */
import type { ChatConfig } from '../../../worker/tokenizer/chat-config.ts';
import type { ModelConfig } from '../../../wasm/host/model-config.ts';
import { ConvertError } from '../convert-error.ts';

/**
 * Control tokens that end a turn or a text in the chat formats of the supported families. Files often name only one of
 * them as end of sequence, and which one depends on whether the base or the chat model was converted.
 */
const END_TOKENS = ['<|im_end|>', '<|endoftext|>', '<|eot_id|>', '<|eom_id|>', '<|end_of_text|>', '<|end|>'];

export interface ChatParts {
  readonly chatTemplate: string | null;
  readonly bosTokenId: number | null;
  /** The main end-of-sequence token first, then any others that the source names. */
  readonly eosTokenIds: readonly number[];
  readonly addBosToken: boolean;
  readonly controlTokenIds: ReadonlySet<number>;
  readonly tokenOf: (id: number) => string | undefined;
  /** Largest id that the tokenizer can give. */
  readonly tokenIdMax: number;
}

/** @throws ConvertError `invalid-metadata` when a token id is outside the vocabulary or nothing ends an answer. */
export function chatConfig(parts: ChatParts, config: ModelConfig): Omit<ChatConfig, 'model'> {
  if (parts.tokenIdMax >= config.vocabSize) {
    throw new ConvertError(
      'invalid-metadata',
      `the tokenizer has a token ${parts.tokenIdMax}, but the embedding only ${config.vocabSize} rows`,
    );
  }
  const tokenText = (id: number | null | undefined): string | null => {
    if (id === null || id === undefined) {
      return null;
    }
    const text = parts.tokenOf(id);
    if (text === undefined) {
      throw new ConvertError('invalid-metadata', `the special token ${id} is not in the vocabulary`);
    }
    return text;
  };
  const known = [...parts.controlTokenIds].filter((id) => END_TOKENS.includes(parts.tokenOf(id) ?? ''));
  const stopTokenIds = [...new Set([...parts.eosTokenIds, ...known])].toSorted((a, b) => a - b);
  stopTokenIds.forEach(tokenText);
  if (stopTokenIds.length === 0) {
    throw new ConvertError('invalid-metadata', 'the model names no end-of-sequence token, so that no answer would end');
  }
  if (parts.addBosToken && parts.bosTokenId === null) {
    throw new ConvertError('invalid-metadata', 'the model wants a beginning-of-text token, but names none');
  }
  return {
    chatTemplate: parts.chatTemplate,
    bosToken: tokenText(parts.bosTokenId),
    eosToken: tokenText(parts.eosTokenIds[0]),
    addBosToken: parts.addBosToken,
    stopTokenIds,
    vocabSize: config.vocabSize,
    contextLengthMax: config.contextLengthMax,
  };
}
