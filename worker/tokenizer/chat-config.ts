/**
 * `chat.json` beside `tokenizer.json` in a converted model: how text becomes a prompt and when an answer ends.
 * Written by `ops/convert`, read by the gateway.
 */
export interface ChatConfig {
  readonly model: string;
  /** The model's own Jinja template, or null where the file has none (then chat requests are refused, with this reason). */
  readonly chatTemplate: string | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Whether the model expects `bosToken` in front of every prompt. */
  readonly addBosToken: boolean;
  /** End of turn, end of text: sampling one of these ends the answer. */
  readonly stopTokenIds: readonly number[];
  readonly vocabSize: number;
  readonly contextLengthMax: number;
}
