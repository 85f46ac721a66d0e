/** Puts the chunks of one choice together to what a client gets that does not stream. */
import type { OriginChoice } from '../../origin/origin-backend.ts';
import { fieldsOf, finishReasonOf, indexOf, listOf, textOf } from './relay-chunks.ts';

export interface ChoiceAssembly {
  add(choice: OriginChoice): void;
  toWire(): object;
}

interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

export class ChatAssembly implements ChoiceAssembly {
  readonly #index: number;
  readonly #toolCalls = new Map<number, ToolCall>();
  readonly #logprobs: unknown[] = [];
  #hasLogprobs = false;
  #content = '';
  #reasoning = '';
  #refusal = '';
  #finishReason: string | null = null;

  constructor(index: number) {
    this.#index = index;
  }

  add(choice: OriginChoice): void {
    const delta = fieldsOf(choice['delta']);
    this.#content += textOf(delta['content']);
    this.#reasoning += textOf(delta['reasoning_content'] ?? delta['reasoning']);
    this.#refusal += textOf(delta['refusal']);
    for (const call of listOf(delta['tool_calls'])) {
      this.#addToolCall(fieldsOf(call));
    }
    const logprobs = fieldsOf(choice['logprobs'])['content'];
    if (Array.isArray(logprobs)) {
      this.#hasLogprobs = true;
      this.#logprobs.push(...(logprobs as unknown[]));
    }
    this.#finishReason = finishReasonOf(choice) ?? this.#finishReason;
  }

  /** The first delta of a call has its id and name, the others the pieces of its arguments. */
  #addToolCall(delta: Readonly<Record<string, unknown>>): void {
    const index = indexOf(delta['index']);
    const call = this.#toolCalls.get(index) ?? { id: '', name: '', arguments: '' };
    this.#toolCalls.set(index, call);
    const { name, arguments: pieces } = fieldsOf(delta['function']);
    call.id ||= textOf(delta['id']);
    call.name ||= textOf(name);
    call.arguments += textOf(pieces);
  }

  toWire(): object {
    const toolCalls = [...this.#toolCalls.entries()]
      .sort(([a], [b]) => a - b)
      .map(([, { id, name, arguments: text }]) => ({ id, type: 'function', function: { name, arguments: text } }));
    const isSilent = this.#content === '' && (toolCalls.length > 0 || this.#refusal !== '');
    return {
      index: this.#index,
      message: {
        role: 'assistant',
        content: isSilent ? null : this.#content,
        refusal: this.#refusal === '' ? null : this.#refusal,
        ...(this.#reasoning === '' ? {} : { reasoning_content: this.#reasoning }),
        ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
      },
      logprobs: this.#hasLogprobs ? { content: this.#logprobs, refusal: null } : null,
      finish_reason: this.#finishReason,
    };
  }
}

export class CompletionAssembly implements ChoiceAssembly {
  readonly #index: number;
  /** Lists of OpenAI's older form (`tokens`, `token_logprobs`, …), or of the newer one (`content`). */
  readonly #logprobs = new Map<string, unknown[]>();
  #text = '';
  #finishReason: string | null = null;

  constructor(index: number) {
    this.#index = index;
  }

  add(choice: OriginChoice): void {
    this.#text += textOf(choice['text']);
    for (const [name, values] of Object.entries(fieldsOf(choice['logprobs']))) {
      const list = this.#logprobs.get(name) ?? [];
      list.push(...listOf(values));
      this.#logprobs.set(name, list);
    }
    this.#finishReason = finishReasonOf(choice) ?? this.#finishReason;
  }

  toWire(): object {
    return {
      index: this.#index,
      text: this.#text,
      logprobs: this.#logprobs.size === 0 ? null : Object.fromEntries(this.#logprobs),
      finish_reason: this.#finishReason,
    };
  }
}
