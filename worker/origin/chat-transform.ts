/** Chunks of chat models whose engine leaves thinking or tool calls in the text: the text is taken apart here. */
import { GlmToolTextParser, type ParsedToolCall } from './glm-tool-text.ts';
import type { OriginChoice, OriginChunk, OriginRequest } from './origin-backend.ts';
import type { OriginModelConfig } from './origin-config.ts';
import { ThinkTagSplitter } from './think-tags.ts';

export interface ChunkTransform {
  /** @returns null when all of it is held back for now. */
  apply(chunk: OriginChunk): OriginChunk | null;
}

const UNCHANGED: ChunkTransform = { apply: (chunk) => chunk };

export function createChunkTransform(
  model: Pick<OriginModelConfig, 'thinkTags' | 'toolCallText'>,
  request: Pick<OriginRequest, 'operation' | 'body' | 'requestId'>,
): ChunkTransform {
  const toolNames = model.toolCallText ? namesOfTools(request.body['tools']) : [];
  if (request.operation !== 'chat' || (model.thinkTags === 'none' && toolNames.length === 0)) {
    return UNCHANGED;
  }
  const choices = new Map<number, ChoiceTransform>();
  return {
    apply(chunk) {
      const changed: OriginChoice[] = [];
      for (const choice of chunk.choices) {
        const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
        const transform =
          choices.get(index) ?? new ChoiceTransform(model.thinkTags, toolNames, request.requestId, index);
        choices.set(index, transform);
        changed.push(transform.apply(choice));
      }
      return changed.every(isBare) ? null : { ...chunk, choices: changed };
    },
  };
}

class ChoiceTransform {
  readonly #splitter: ThinkTagSplitter | null;
  readonly #parser: GlmToolTextParser | null;
  readonly #idPrefix: string;
  #numToolCalls = 0;

  constructor(
    thinkTags: OriginModelConfig['thinkTags'],
    toolNames: readonly string[],
    requestId: string,
    index: number,
  ) {
    this.#splitter = thinkTags === 'none' ? null : new ThinkTagSplitter(thinkTags);
    this.#parser = toolNames.length === 0 ? null : new GlmToolTextParser(toolNames);
    this.#idPrefix = `call_${requestId}_${index}`;
  }

  apply(choice: OriginChoice): OriginChoice {
    const { content, reasoning_content: engines, ...delta } = (choice['delta'] ?? {}) as Record<string, unknown>;
    const text = typeof content === 'string' ? content : '';
    const isLast = typeof choice['finish_reason'] === 'string';
    const split = this.#split(text, isLast);
    const parsed = this.#parse(split.content, isLast);
    const reasoning = (typeof engines === 'string' ? engines : '') + split.reasoning;
    const changed = {
      ...delta,
      ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
      ...(parsed.content === '' ? {} : { content: parsed.content }),
      ...(parsed.toolCalls.length === 0 ? {} : { tool_calls: parsed.toolCalls.map((call) => this.#toolCall(call)) }),
    };
    const isCall = isLast && choice['finish_reason'] === 'stop' && this.#numToolCalls > 0;
    return { ...choice, delta: changed, ...(isCall ? { finish_reason: 'tool_calls' } : {}) };
  }

  #split(text: string, isLast: boolean): { reasoning: string; content: string } {
    if (this.#splitter === null) {
      return { reasoning: '', content: text };
    }
    const now = this.#splitter.push(text);
    const rest = isLast ? this.#splitter.end() : { reasoning: '', content: '' };
    return { reasoning: now.reasoning + rest.reasoning, content: now.content + rest.content };
  }

  #parse(text: string, isLast: boolean): { content: string; toolCalls: readonly ParsedToolCall[] } {
    if (this.#parser === null) {
      return { content: text, toolCalls: [] };
    }
    const now = this.#parser.push(text);
    const rest = isLast ? this.#parser.end().content : '';
    return { content: now.content + rest, toolCalls: now.toolCalls };
  }

  #toolCall({ name, arguments: text }: ParsedToolCall): Record<string, unknown> {
    const index = this.#numToolCalls++;
    return { index, id: `${this.#idPrefix}_${index}`, type: 'function', function: { name, arguments: text } };
  }
}

/** Whether the choice tells nothing: neither a piece of the answer, nor its role, nor its end. */
function isBare(choice: OriginChoice): boolean {
  const delta = choice['delta'] as Record<string, unknown>;
  return typeof choice['finish_reason'] !== 'string' && Object.keys(delta).length === 0;
}

function namesOfTools(tools: unknown): string[] {
  const names: string[] = [];
  for (const tool of Array.isArray(tools) ? (tools as { function?: { name?: unknown } }[]) : []) {
    const name = tool.function?.name;
    if (typeof name === 'string' && name !== '') {
      names.push(name);
    }
  }
  return names;
}
