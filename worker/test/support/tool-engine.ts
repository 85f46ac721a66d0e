/** A real llama.cpp server with a tiny random model whose chat template knows tools: the server's grammar makes valid calls of it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { startEngine } from '../../../ops/origin/engine.ts';
import { homeLayout, resolveHome } from '../../../ops/support/home.ts';
import { silentProgress } from '../../../ops/support/progress.ts';
import { encodeGguf, type GgufValue } from '../../../ops/testing/gguf-writer.ts';
import { tinyGgufContent } from '../../../ops/testing/tiny-model.ts';
import { tinyVocabulary } from '../../../ops/testing/tiny-vocabulary.ts';

/** ChatML with tool calls as the Hermes and Qwen models write them. */
const TOOL_TEMPLATE = [
  `{%- if tools %}{{- '<|im_start|>system\\n<tools>' }}`,
  `{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}`,
  `{{- '\\n</tools><|im_end|>\\n' }}{%- endif %}`,
  `{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}`,
  `{%- if message.content %}{{- message.content }}{%- endif %}`,
  `{%- for call in message.tool_calls or [] %}`,
  `{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}`,
  `{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}`,
  `{%- endfor %}{{- '<|im_end|>\\n' }}{%- endfor %}`,
  `{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}`,
].join('');

/** The last of the vocabulary gives way to the text that begins a call, so that a bias on one token can bring it about. */
const { tokens, merges, tokenTypes } = tinyVocabulary();
export const TOOL_CALL_TOKEN_ID = tokens.length - 1;
const USER_DEFINED_TOKEN = 4;

export interface ToolEngine {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startToolEngine(contextLengthMax: number): Promise<ToolEngine> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lamina-tools-'));
  const modelFile = path.join(folder, 'tiny.gguf');
  const content = tinyGgufContent({ shape: { contextLengthMax } });
  const changes: [string, GgufValue][] = [
    ['tokenizer.chat_template', { type: 'string', value: TOOL_TEMPLATE }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens.with(TOOL_CALL_TOKEN_ID, '<tool_call>\n') }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: tokenTypes.with(TOOL_CALL_TOKEN_ID, USER_DEFINED_TOKEN) }],
    ['tokenizer.ggml.merges', { type: 'strings', value: merges.slice(0, -1) }],
  ];
  const metadata = new Map([...content.metadata, ...changes]);
  await writeFile(modelFile, encodeGguf({ ...content, metadata }));
  const engine = await startEngine({
    home: homeLayout(resolveHome(undefined, process.env)),
    env: process.env,
    progress: silentProgress,
    modelFile,
    modelName: 'tiny',
    port: 0,
    slots: 2,
    context: contextLengthMax,
    threads: 1,
    key: null,
  });
  return {
    url: engine.url,
    stop: async () => {
      await engine.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
