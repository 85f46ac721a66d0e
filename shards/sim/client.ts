/** One request as a client of a simulation lives it: it asks, reads at its own pace, and notes everything it gets. */
import { AbortedError } from '../client/abort.ts';
import type { ContentEvent, EngineClient } from '../client/engine-client.ts';
import { GenerationError } from '../client/recovery.ts';
import type { GenerateRequest } from '../engine/protocol.ts';
import { sleep, type Clock } from '../platform/clock.ts';
import type { ExpectedAnswer } from './oracle.ts';

export interface ClientBehaviour {
  /** Pause before each event is taken; 0 for a reader that keeps up. */
  readonly readPauseMs: number;
  /** It goes away after so many events; null when it stays. */
  readonly leavesAfter: number | null;
}

export type Outcome =
  | { readonly kind: 'finished' }
  | { readonly kind: 'left' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export class ClientRequest {
  readonly request: GenerateRequest;
  readonly expected: ExpectedAnswer;
  readonly events: ContentEvent[] = [];
  /** Null while it runs. */
  outcome: Outcome | null = null;
  /** From its start to its first event; null before. */
  ttftMs: number | null = null;
  numResumes = 0;

  get numTokens(): number {
    return this.events.filter(({ type }) => type === 'token').length;
  }

  constructor(request: GenerateRequest, expected: ExpectedAnswer) {
    this.request = request;
    this.expected = expected;
  }

  async run(client: EngineClient, clock: Clock, behaviour: ClientBehaviour): Promise<void> {
    try {
      this.outcome = await this.#read(client, clock, behaviour);
    } catch (thrown) {
      if (thrown instanceof GenerationError) {
        this.outcome = { kind: 'failed', code: thrown.code, message: thrown.message };
      } else if (thrown instanceof AbortedError) {
        this.outcome = { kind: 'left' };
      } else {
        throw thrown;
      }
    }
  }

  async #read(client: EngineClient, clock: Clock, { readPauseMs, leavesAfter }: ClientBehaviour): Promise<Outcome> {
    const startedMs = clock.nowMs();
    const controller = new AbortController();
    const onResume = (): void => {
      this.numResumes++;
    };
    if (leavesAfter === 0) {
      clock.startTimer(readPauseMs, () => controller.abort());
    }
    for await (const event of client.generate(this.request, controller.signal, { onResume })) {
      this.events.push(event);
      this.ttftMs ??= clock.nowMs() - startedMs;
      if (this.events.length === leavesAfter) {
        controller.abort();
      }
      if (readPauseMs > 0) {
        await sleep(clock, readPauseMs);
      }
    }
    return { kind: 'finished' };
  }
}
