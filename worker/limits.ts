/** What a request may ask for. Each limit is tested at its value and one past it. */
export interface GatewayLimits {
  /** Body of a request. 20 prompts of 8192 tokens written as ids fit, and a prompt of 8192 tokens of text 30 times. */
  readonly bodyBytesMax: number;
  /** A message costs at least 4 tokens in any chat format, so more of them do not fit a context of 8192. */
  readonly messagesMax: number;
  /** Choices of one prompt; OpenAI allows 128, but a ring decodes 8 sequences at about the cost of one. */
  readonly choicesMax: number;
  /** Prompts of one completion request. Evaluation harnesses send batches of up to some tens. */
  readonly promptsMax: number;
  /** Sequences of one request that run at the same time, so that one request does not fill the queue of a ring. */
  readonly concurrentSequencesMax: number;
  /** Stop strings and the length of each, in UTF-16 units. That much of an answer may be held back. */
  readonly stopsMax: number;
  readonly stopLengthMax: number;
  /** Alternatives per token, as in OpenAI's two interfaces. */
  readonly chatTopLogprobsMax: number;
  readonly completionLogprobsMax: number;
  /** Entries of `logit_bias`. */
  readonly logitBiasMax: number;
  /** Images of one request; each is some hundred tokens of an origin's context. */
  readonly imagesMax: number;
  /** Tools of one request, as with OpenAI. */
  readonly toolsMax: number;
  /** Nesting of a JSON schema or of tool parameters: origins turn them into grammars by recursion. */
  readonly schemaDepthMax: number;
  /** Texts of one embedding request, and documents of one rerank request; OpenAI's value for the former. */
  readonly embeddingInputsMax: number;
  readonly rerankDocumentsMax: number;
  /** Longest description of an image to generate, in UTF-16 units. */
  readonly imagePromptLengthMax: number;
  /** Prefixes that a tenant has pinned; each may hold a whole context of pages. */
  readonly prefixesMax: number;
  /** How long a prefix is kept when the request does not say, and at most, in seconds: an hour and 30 days. */
  readonly prefixTtlSecondsDefault: number;
  readonly prefixTtlSecondsMax: number;
  /** Tokens of an origin's answer when the request does not say: reasoning takes thousands before the answer begins. */
  readonly originTokensDefault: number;
  /** Tokens of a chat answer when the request does not say: long enough for an answer, short enough for a loop. */
  readonly chatTokensDefault: number;
  /** The same for completions; OpenAI's value. */
  readonly completionTokensDefault: number;
}

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  bodyBytesMax: 1024 * 1024,
  messagesMax: 2048,
  choicesMax: 8,
  promptsMax: 64,
  concurrentSequencesMax: 8,
  stopsMax: 4,
  stopLengthMax: 256,
  chatTopLogprobsMax: 20,
  completionLogprobsMax: 5,
  logitBiasMax: 1024,
  imagesMax: 8,
  toolsMax: 128,
  schemaDepthMax: 32,
  embeddingInputsMax: 2048,
  rerankDocumentsMax: 1000,
  imagePromptLengthMax: 4000,
  prefixesMax: 64,
  prefixTtlSecondsDefault: 3600,
  prefixTtlSecondsMax: 30 * 24 * 3600,
  originTokensDefault: 4096,
  chatTokensDefault: 1024,
  completionTokensDefault: 16,
};
