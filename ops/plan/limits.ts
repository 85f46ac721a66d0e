/**
 * What an isolate may hold and what the planner assumes of it. Every number that decides how many stages a model needs
 * is here, with where it comes from.
 */

const MIB = 1024 * 1024;

/** Memory of one isolate, JavaScript heap and WebAssembly memory together (Workers limits, "Memory"). */
export const ISOLATE_BYTES = 128 * MIB;

/** Kept free: for garbage that is not yet collected, requests in flight, and what these estimates miss. */
export const HEADROOM_BYTES = 16 * MIB;

/** What the planner may give out in one isolate. */
export const ISOLATE_BUDGET_BYTES = ISOLATE_BYTES - HEADROOM_BYTES;

/**
 * JavaScript heap of a stage's isolate: script, engine state, frames. Measured with the runtime's inspector on the
 * default model, after eight chats at once and a prompt of 4,500 tokens: at most 4.2 MiB of heap and 1.3 MiB of buffers
 * are alive after a collection; once pages have been saved and 4,000 tokens restored, 3.2 and 2.5 MiB. The index of a full
 * store is another 1.7 MiB. The garbage between two collections is what the headroom is for.
 */
export const STAGE_HEAP_BYTES = 8 * MIB;

/** JavaScript heap of the gateway's isolate beside the tokenizer: script, routes, requests in flight. */
export const GATEWAY_HEAP_BYTES = 12 * MIB;

/** JavaScript heap of the classifiers' isolate beside the tokenizer: script, the list of a training's examples, frames. */
export const CLASSIFY_HEAP_BYTES = 8 * MIB;

/**
 * Heap that the tokenizer's tables take, for each byte of its `tokenizer.json`. Measured as above with a file of 1.5 MiB
 * (49,152 tokens and their merges): 15 MiB are alive in the whole isolate after a collection, and 43 MiB were in use
 * while the tables were built, most of it the parsed file. Twelve times the file, and the heap above, lies between.
 */
export const TOKENIZER_HEAP_PER_FILE_BYTE = 12;

/**
 * Stages in a ring at most. Each is a script of its own and a hop of each token, and the head holds a binding to each.
 * A model that needs more than this is too slow to chat with, whatever its memory.
 */
export const STAGE_COUNT_MAX = 16;

/**
 * Tokens of one step, over all its sequences. A frame between stages carries a row of hidden states for each: 64 rows
 * of 576 values are 147 kB. More rows make the prefill hardly faster and hold up everyone else's next token for longer.
 */
export const NUM_TOKENS_MAX = 64;

/** Rows of logits in one call: 16 rows of a vocabulary of 49152 are 3 MiB of scratch. */
export const NUM_LOGIT_ROWS_MAX = 16;

/**
 * KV pages of a stage at most, where a small model leaves room for far more than requests can fill: this many sequences
 * of the full context. Decoding gains little beyond a batch of eight.
 */
export const FULL_SEQUENCES_MAX = 8;

/**
 * Multiply-adds in a microsecond, as `lamina bench kernels` tells them: four tokens together, weights from memory, in workerd
 * on one core of an AMD EPYC (Zen 5). Only the ratios decide: the default model is split alike if the LM head is half as fast
 * again.
 */
export const LAYER_MACS_PER_US = 80_000;
export const HEAD_MACS_PER_US = 53_000;
export const ATTENTION_MACS_PER_US = 25_000;

/** What a token attends to, where the context is longer: a chat of some turns. Few sequences fill a context. */
export const ATTENDED_TOKENS = 512;

/**
 * Of the tokens that a ring computes, those whose logits are wanted. Half: answers as long as what is new in their prompts.
 * More of them want fewer layers beside the LM head, fewer want more.
 */
export const OUTPUT_TOKEN_SHARE = 0.5;
