/**
 * Answers of origins under our own head: id, time and model are the gateway's, the content is the origin's. Streams are
 * passed on chunk by chunk; answers in one piece are put together from the same stream.
 */
import type { OriginChoice } from '../../origin/origin-backend.ts';
import { ChatAssembly, CompletionAssembly, type ChoiceAssembly } from './relay-assembly.ts';
import { fieldsOf, finishReasonOf, indexOf, textOf, usageToWire, type OriginEvents } from './relay-chunks.ts';
import { SSE_DONE, sseEvent, type AnswerHead } from './wire.ts';

export interface RelayOptions {
  readonly head: AnswerHead;
  readonly includeUsage: boolean;
}

/** What differs between the two interfaces. */
export interface RelayFormat {
  readonly chunkObject: string;
  readonly answerObject: string;
  readonly toChunkChoice: (choice: OriginChoice, isFirst: boolean) => object;
  readonly newAssembly: (index: number) => ChoiceAssembly;
}

export const CHAT_RELAY: RelayFormat = {
  chunkObject: 'chat.completion.chunk',
  answerObject: 'chat.completion',
  // Engines differ in which delta names the role; clients want it in the first.
  toChunkChoice: (choice, isFirst) => ({
    index: indexOf(choice['index']),
    delta: { ...(isFirst ? { role: 'assistant' } : {}), ...fieldsOf(choice['delta']) },
    logprobs: choice['logprobs'] ?? null,
    finish_reason: finishReasonOf(choice),
  }),
  newAssembly: (index) => new ChatAssembly(index),
};

export const COMPLETION_RELAY: RelayFormat = {
  chunkObject: 'text_completion',
  answerObject: 'text_completion',
  toChunkChoice: (choice) => ({
    index: indexOf(choice['index']),
    text: textOf(choice['text']),
    logprobs: choice['logprobs'] ?? null,
    finish_reason: finishReasonOf(choice),
  }),
  newAssembly: (index) => new CompletionAssembly(index),
};

export async function* relayParts(
  format: RelayFormat,
  { head, includeUsage }: RelayOptions,
  events: OriginEvents,
): AsyncGenerator<string, void, undefined> {
  const chunk = (choices: readonly object[], usage: object | null): string =>
    sseEvent({ ...head, object: format.chunkObject, choices, ...(includeUsage ? { usage } : {}) });
  const begun = new Set<number>();
  const toChunkChoice = (choice: OriginChoice): object => {
    const index = indexOf(choice['index']);
    const isFirst = !begun.has(index);
    begun.add(index);
    return format.toChunkChoice(choice, isFirst);
  };
  let completionTokens = 0;
  for await (const event of events) {
    if (event.type === 'chunk') {
      ({ completionTokens } = event);
      if (event.data.choices.length > 0) {
        yield chunk(event.data.choices.map(toChunkChoice), null);
      }
    } else if (event.type === 'end' && includeUsage) {
      yield chunk([], usageToWire(event.usage, completionTokens));
    }
  }
  yield SSE_DONE;
}

export async function relayAnswer(format: RelayFormat, { head }: RelayOptions, events: OriginEvents): Promise<string> {
  const assemblies = new Map<number, ChoiceAssembly>();
  let usage = usageToWire(null, 0);
  let completionTokens = 0;
  for await (const event of events) {
    if (event.type === 'chunk') {
      ({ completionTokens } = event);
      for (const choice of event.data.choices) {
        const index = indexOf(choice['index']);
        const assembly = assemblies.get(index) ?? format.newAssembly(index);
        assemblies.set(index, assembly);
        assembly.add(choice);
      }
    } else if (event.type === 'end') {
      usage = usageToWire(event.usage, completionTokens);
    }
  }
  const choices = [...assemblies.entries()].sort(([a], [b]) => a - b).map(([, assembly]) => assembly.toWire());
  return JSON.stringify({ ...head, object: format.answerObject, choices, usage });
}
