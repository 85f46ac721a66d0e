/** What a run looks like from outside: its chunks as events with numbers, and what is there of its answer in one piece. */
import { CHAT_SURFACE, COMPLETION_SURFACE } from './generation-job.ts';
import { fieldsOf, indexOf, listOf, textOf, usageToWire } from './relay-chunks.ts';
import type { ChoiceAssembly } from './relay-assembly.ts';
import type { RelayFormat } from './relay-wire.ts';
import { isEnded, type RunSnapshot } from '../../runs/run.ts';

const DONE = '[DONE]';

/** The event's number is in its `id` for readers of event streams, and in the data for clients that show nothing else. */
export function numberedEvent(number: number, data: string): string {
  const numbered = data === DONE ? data : `{"sequence_number":${number},${data.slice(1)}`;
  return `id: ${number}\ndata: ${numbered}\n\n`;
}

/** Puts the chunks of a run together, as far as they have come. */
export class RunAnswer {
  readonly #relay: RelayFormat;
  readonly #assemblies = new Map<number, ChoiceAssembly>();
  #head: Readonly<Record<string, unknown>> | null = null;

  /** @param id of the run: its beginning tells the interface. */
  constructor(id: string) {
    this.#relay = (id.startsWith(`${CHAT_SURFACE.idPrefix}-`) ? CHAT_SURFACE : COMPLETION_SURFACE).relay;
  }

  add(data: string): void {
    if (data === DONE) {
      return;
    }
    const { id, created, model, choices } = fieldsOf(JSON.parse(data));
    this.#head ??= { id, created, model };
    for (const choice of listOf(choices).map(fieldsOf)) {
      const index = indexOf(choice['index']);
      const assembly = this.#assemblies.get(index) ?? this.#relay.newAssembly(index);
      this.#assemblies.set(index, assembly);
      assembly.add(choice);
    }
  }

  /** The answer of the interface that the request came by; null before its first chunk. */
  toWire({ usage }: RunSnapshot): object | null {
    const counted = usage === null ? null : usageToWire(usage, 0);
    return this.#head === null
      ? null
      : { ...this.#head, object: this.#relay.answerObject, choices: this.choices(), usage: counted };
  }

  choices(): object[] {
    return [...this.#assemblies.entries()].sort(([a], [b]) => a - b).map(([, assembly]) => assembly.toWire());
  }
}

/** OpenAI's object for a response that may not be over, as far as it goes; `answer` is that of the run's own interface. */
export function runObject(snapshot: RunSnapshot, answer: RunAnswer) {
  const { id, status, createdMs, expiresMs, isBackground, numChunks, serving, usage, error } = snapshot;
  return {
    id,
    object: 'response',
    created_at: Math.floor(createdMs / 1000),
    status,
    background: isBackground,
    model: serving?.model ?? null,
    served_by: serving?.servedBy ?? null,
    error: error === null ? null : { code: error.code ?? null, message: error.message },
    sequence_number: numChunks === 0 ? null : numChunks - 1,
    expires_at: expiresMs === null ? null : Math.floor(expiresMs / 1000),
    output: answer.choices().map((choice) => outputMessage(snapshot, fieldsOf(choice))),
    usage: usage === null ? null : responseUsage(usage),
    answer: answer.toWire(snapshot),
  };
}

function outputMessage({ id, status }: RunSnapshot, choice: Readonly<Record<string, unknown>>) {
  const text = textOf(choice['text'] ?? fieldsOf(choice['message'])['content']);
  return {
    type: 'message',
    id: `msg_${id}_${indexOf(choice['index'])}`,
    role: 'assistant',
    status: status === 'completed' ? status : isEnded(status) ? 'incomplete' : 'in_progress',
    content: [{ type: 'output_text', text, annotations: [] }],
  };
}

function responseUsage(usage: NonNullable<RunSnapshot['usage']>) {
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}
