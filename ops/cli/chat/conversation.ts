/** One conversation: its messages, and how an answer gets onto the screen. */
import type { Paint } from '../ui/style.ts';
import { type ChatMessage, type ChatServer, type ChatSettings, streamChat } from './chat-client.ts';

export interface ConversationOptions {
  readonly server: ChatServer;
  readonly settings: ChatSettings;
  readonly systemMessage: string | null;
  /** Where answers go, without any line break added. */
  readonly write: (text: string) => void;
  /** Where remarks about an answer go. */
  readonly remark: (text: string) => void;
  readonly paint: Paint;
  /** Milliseconds of a steady clock. */
  readonly now: () => number;
}

export class Conversation {
  readonly #options: ConversationOptions;
  #systemMessage: string | null;
  #messages: ChatMessage[] = [];

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#systemMessage = options.systemMessage;
  }

  /** Forgets everything but the system message. */
  reset(): void {
    this.#messages = [];
  }

  /** Sets or, with null, removes the system message. The conversation starts anew, since it was held under the old one. */
  setSystemMessage(text: string | null): void {
    this.#systemMessage = text;
    this.reset();
  }

  /**
   * Asks and prints the answer as it comes. An aborted answer stays in the conversation as far as it got; a failed one
   * leaves the conversation as it was.
   */
  async ask(question: string, signal: AbortSignal): Promise<void> {
    const { server, settings, write, remark, paint, now } = this.#options;
    const system: ChatMessage[] =
      this.#systemMessage === null ? [] : [{ role: 'system', content: this.#systemMessage }];
    const asked: ChatMessage[] = [...this.#messages, { role: 'user', content: question }];
    const startedAt = now();
    let firstTextAt: number | null = null;
    let answer = '';
    try {
      for await (const event of streamChat(server, settings, [...system, ...asked], signal)) {
        if (event.type === 'text') {
          firstTextAt ??= now();
          answer += event.text;
          write(event.text);
        } else {
          write('\n');
          remark(paint('dim', answerSummary(event, startedAt, firstTextAt ?? now(), now())));
        }
      }
    } catch (error) {
      if (answer !== '') {
        write('\n');
      }
      if (!signal.aborted) {
        throw error;
      }
      remark(paint('dim', 'stopped'));
    }
    this.#messages = [...asked, { role: 'assistant', content: answer }];
  }
}

/** `42 tokens · 18.3 tok/s · first after 210 ms`, and why the answer ended when it was cut. */
export function answerSummary(
  end: { readonly finishReason: string | null; readonly completionTokens: number | null },
  startedAtMs: number,
  firstTextAtMs: number,
  endedAtMs: number,
): string {
  const parts: string[] = [];
  if (end.completionTokens !== null) {
    parts.push(`${end.completionTokens} tokens`);
    // The first token's time is the prompt's; the rate is that of the tokens after it.
    const seconds = (endedAtMs - firstTextAtMs) / 1000;
    if (end.completionTokens > 1 && seconds > 0) {
      parts.push(`${((end.completionTokens - 1) / seconds).toFixed(1)} tok/s`);
    }
  }
  parts.push(`first after ${Math.round(firstTextAtMs - startedAtMs)} ms`);
  if (end.finishReason === 'length') {
    parts.push('cut at the token limit');
  }
  return parts.join(' · ');
}
