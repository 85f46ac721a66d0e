/** An inference engine under measurement, in a process of its own: ours, llama.cpp, or llama.cpp compiled to WASM. */

export interface CompletionTiming {
  /** Tokens of the prompt that were computed, as the engine counts them. */
  readonly promptTokens: number;
  /** From the start until the first token is known. */
  readonly promptMs: number;
  /** Tokens after the first. */
  readonly decodedTokens: number;
  /** From the first token to the last. */
  readonly decodeMs: number;
}

export interface Prompt {
  readonly tokens: readonly number[];
  /** The same as text, for engines that take nothing else. */
  readonly text: string;
}

export interface Subject {
  readonly name: string;
  /** Computes the prompt without any cache and generates greedily to the end, past end-of-text tokens. */
  complete(prompt: Prompt, maxTokens: number): Promise<CompletionTiming>;
  /** Ends its process. */
  stop(): Promise<void>;
}

/** Starts a fresh process with the model loaded. */
export interface SubjectFactory {
  readonly name: string;
  start(): Promise<Subject>;
}

/** `timings` of llama.cpp's server, which wllama hands on too. */
export interface LlamaCppTimings {
  readonly prompt_n: number;
  readonly prompt_ms: number;
  readonly predicted_n: number;
  readonly predicted_ms: number;
}

/** llama.cpp's own clock: no HTTP in it. It counts the first token, whose time belongs to the prompt. */
export function timingOf(timings: LlamaCppTimings): CompletionTiming {
  return {
    promptTokens: timings.prompt_n,
    promptMs: timings.prompt_ms,
    decodedTokens: timings.predicted_n - 1,
    decodeMs: timings.predicted_ms,
  };
}
