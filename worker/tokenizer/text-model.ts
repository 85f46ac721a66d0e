/** The text side of a model: tokenizer and chat template, loaded from the two files that `ops/convert` writes. */
import * as z from 'zod';
import type { ChatConfig } from './chat-config.ts';
import { createChatPromptEncoder, type ChatPromptEncoder } from './chat-template.ts';
import { createTextTokenizer, type TextTokenizer } from './text-tokenizer.ts';

export interface TextModel {
  readonly config: ChatConfig;
  readonly tokenizer: TextTokenizer;
  readonly encodeChat: ChatPromptEncoder;
}

/** Reads a file of a model. @throws when it is missing. */
export type ReadModelFile = (path: string) => Promise<string>;

const chatConfigSchema = z.object({
  model: z.string(),
  chatTemplate: z.string().nullable(),
  bosToken: z.string().nullable(),
  eosToken: z.string().nullable(),
  addBosToken: z.boolean(),
  stopTokenIds: z.array(z.int().nonnegative()),
  vocabSize: z.int().positive(),
  contextLengthMax: z.int().positive(),
}) satisfies z.ZodType<ChatConfig>;

/**
 * @param assetsPath folder of the model, such as `/models/lamina-lite`.
 * @throws Error naming the file and what is wrong with it.
 */
export async function loadTextModel(readFile: ReadModelFile, assetsPath: string): Promise<TextModel> {
  const [tokenizerText, chatText] = await Promise.all([
    readFile(`${assetsPath}/tokenizer.json`),
    readFile(`${assetsPath}/chat.json`),
  ]);
  const config = chatConfigSchema.safeParse(JSON.parse(chatText));
  if (!config.success) {
    throw new Error(`${assetsPath}/chat.json cannot be used: ${z.prettifyError(config.error)}`);
  }
  const tokenizer = createTextTokenizer(JSON.parse(tokenizerText));
  return { config: config.data, tokenizer, encodeChat: createChatPromptEncoder(config.data, tokenizer) };
}

/**
 * Loads each model once per isolate and shares it between requests. A failed load is forgotten, so that the next request
 * tries again instead of failing until the isolate is replaced.
 */
export function createTextModels(readFile: ReadModelFile): (assetsPath: string) => Promise<TextModel> {
  const loads = new Map<string, Promise<TextModel>>();
  return (assetsPath) => {
    const known = loads.get(assetsPath);
    if (known !== undefined) {
      return known;
    }
    const load = loadTextModel(readFile, assetsPath).catch((error: unknown) => {
      loads.delete(assetsPath);
      throw error;
    });
    loads.set(assetsPath, load);
    return load;
  };
}
