/**
 * Byte layouts that the kernels and the host agree on. Compiled by asc and by tsc alike, so it holds nothing but
 * `export const` of whole numbers, and every division is exact (asc divides integers, tsc does not).
 */

// Weights: see docs/weights-format.md ================================================================================

/** Weights that share a scale, along the input dimension. */
export const GROUP_COLS = 32;
/** Output rows stored together: two i32x4 accumulators in which each lane is one row. */
export const TILE_ROWS = 8;
/** Consecutive columns that one lane of a dot product takes. */
export const QUAD_COLS = 4;
export const QUADS_PER_GROUP = GROUP_COLS / QUAD_COLS;
export const F16_BYTES = 2;
export const F32_BYTES = 4;
/** The f16 scales (or minima) of the 8 rows of a record. */
export const TILE_F16_BYTES = TILE_ROWS * F16_BYTES;

/** Two rows' nibbles in a byte. */
export const QB4W_QUANTS_BYTES = (TILE_ROWS * GROUP_COLS) / 2;
export const QB4W_QUAD_BYTES = QB4W_QUANTS_BYTES / QUADS_PER_GROUP;
export const QB4W_SCALES_OFFSET = QB4W_QUANTS_BYTES;
export const QB4W_MINIMA_OFFSET = QB4W_SCALES_OFFSET + TILE_F16_BYTES;
export const QB4W_RECORD_BYTES = QB4W_MINIMA_OFFSET + TILE_F16_BYTES;

export const QB8W_QUANTS_BYTES = TILE_ROWS * GROUP_COLS;
export const QB8W_QUAD_BYTES = QB8W_QUANTS_BYTES / QUADS_PER_GROUP;
export const QB8W_SCALES_OFFSET = QB8W_QUANTS_BYTES;
export const QB8W_RECORD_BYTES = QB8W_SCALES_OFFSET + TILE_F16_BYTES;

/**
 * A qb4w record decoded, for steps of many tokens: for each quad of columns 4 bytes of rows 0 to 3 and then of rows 4 to 7,
 * then the 8 scales and the 8 minima as f32.
 */
export const DECODED_QUAD_BYTES = TILE_ROWS * QUAD_COLS;
export const DECODED_SCALES_OFFSET = DECODED_QUAD_BYTES * QUADS_PER_GROUP;
export const DECODED_MINIMA_OFFSET = DECODED_SCALES_OFFSET + TILE_ROWS * F32_BYTES;
export const DECODED_RECORD_BYTES = DECODED_MINIMA_OFFSET + TILE_ROWS * F32_BYTES;

// Activations ========================================================================================================

/**
 * qd8, per token and group: 32 int8 quants in -127..127, the f32 scale, and the f32 sum of the dequantised values
 * (scale * sum of quants), which meets the weights' minimum.
 */
export const QD8_SCALE_OFFSET = GROUP_COLS;
export const QD8_SUM_OFFSET = QD8_SCALE_OFFSET + F32_BYTES;
export const QD8_GROUP_BYTES = QD8_SUM_OFFSET + F32_BYTES;

/**
 * Tokens of a step that lie interleaved, so that one load serves all of them; what is left over lies token by token as
 * above. A group of a tile: each quad of columns for the four tokens, then four scales, then four sums.
 */
export const TOKEN_TILE = 4;
export const QD8_TILE_QUAD_BYTES = TOKEN_TILE * QUAD_COLS;
export const QD8_TILE_SCALES_OFFSET = QD8_TILE_QUAD_BYTES * QUADS_PER_GROUP;
export const QD8_TILE_SUMS_OFFSET = QD8_TILE_SCALES_OFFSET + TOKEN_TILE * F32_BYTES;
export const QD8_TILE_GROUP_BYTES = QD8_TILE_SUMS_OFFSET + TOKEN_TILE * F32_BYTES;

/**
 * qd8 with the signs split, per token and group: for each quad of columns 4 magnitudes, then 4 signs, 0 or -1, so that one
 * load brings both for two quads; then the f32 scale, and the i32 sum of the magnitudes whose sign is -1. A magnitude has 7
 * bits, so it can meet a full 8-bit weight in an exact relaxed dot product: see `qd8-f32-qb8w-gemm.ts`.
 */
export const QD8_SPLIT_SIGNS_OFFSET = QUAD_COLS;
export const QD8_SPLIT_QUAD_BYTES = QD8_SPLIT_SIGNS_OFFSET + QUAD_COLS;
export const QD8_SPLIT_SCALE_OFFSET = QD8_SPLIT_QUAD_BYTES * QUADS_PER_GROUP;
export const QD8_SPLIT_NEGATIVES_OFFSET = QD8_SPLIT_SCALE_OFFSET + F32_BYTES;
export const QD8_SPLIT_GROUP_BYTES = QD8_SPLIT_NEGATIVES_OFFSET + F32_BYTES;

/** The same of a tile of tokens: for each quad the magnitudes of all four, then their signs; four scales, four sums. */
export const QD8_SPLIT_TILE_SIGNS_OFFSET = TOKEN_TILE * QUAD_COLS;
export const QD8_SPLIT_TILE_QUAD_BYTES = QD8_SPLIT_TILE_SIGNS_OFFSET + TOKEN_TILE * QUAD_COLS;
export const QD8_SPLIT_TILE_SCALES_OFFSET = QD8_SPLIT_TILE_QUAD_BYTES * QUADS_PER_GROUP;
export const QD8_SPLIT_TILE_NEGATIVES_OFFSET = QD8_SPLIT_TILE_SCALES_OFFSET + TOKEN_TILE * F32_BYTES;
export const QD8_SPLIT_TILE_GROUP_BYTES = QD8_SPLIT_TILE_NEGATIVES_OFFSET + TOKEN_TILE * F32_BYTES;

// KV pages ===========================================================================================================

export const PAGE_TOKENS = 16;
export const PAGE_TOKENS_F32_BYTES = PAGE_TOKENS * F32_BYTES;
/** Dimensions of keys, and dimensions and tokens of values, that lie together: what one lane of a dot product takes. */
export const KV_QUAD = 4;
/** Bytes of one quad of dimensions for all tokens of a page. */
export const KV_QUAD_BYTES = KV_QUAD * PAGE_TOKENS;
/** Bytes of one quad of value dimensions for a quad of tokens: a vector. */
export const VALUE_QUAD_BYTES = KV_QUAD * KV_QUAD;
/**
 * A part of a page: the keys, or the values, of one head of one layer; quants for each element of headDim, then the f32 scales
 * of the 16 tokens. Equal parts of all pages follow each other, so that a pass over a sequence's keys reads memory from one
 * end to the other.
 */
export const KV_PART_BYTES_PER_DIM = PAGE_TOKENS;
export const KV_PART_SCALES_BYTES = PAGE_TOKENS_F32_BYTES;
/** Keys and values. */
export const KV_PARTS_PER_HEAD = 2;

// Scratch of attention ===============================================================================================

/** Of each query head: the high, then the low 7 bits of its quants, `[headDim]` bytes each, and then these. */
export const QUERY_BYTES_PER_DIM = 2;
/** f32: from a dot product with quants of keys to a score, but for the key's scale. */
export const QUERY_FACTOR = 0;
/** f32: sum of e^(score - largest). */
export const QUERY_POWER_SUM = 4;
export const QUERY_STATE_BYTES = 16;
/** After the last head: what the bias of the queries adds to the dot product with each key of a page, i32. */
export const KEY_BIAS_BYTES = PAGE_TOKENS * 4;

// Descriptors that the host writes: 4-byte little-endian fields ======================================================

/** One stage: shapes, limits and addresses. Written once. */
export const STAGE_HIDDEN_SIZE = 0;
export const STAGE_INTERMEDIATE_SIZE = 4;
export const STAGE_NUM_QUERY_HEADS = 8;
export const STAGE_NUM_KV_HEADS = 12;
export const STAGE_HEAD_DIM = 16;
export const STAGE_VOCAB_SIZE = 20;
/** f32 */
export const STAGE_RMS_NORM_EPS = 24;
/** f32: 1 / sqrt(headDim) */
export const STAGE_SCORE_SCALE = 28;
/** Longest sequence, rounded up to whole pages: the stride of a head's scores. */
export const STAGE_SCORES_STRIDE = 32;
/** Bytes of one part of all pages: from the keys of a head to its values, and on to the next head's keys. */
export const STAGE_PART_POOL_BYTES = 36;
/** Addresses from here on. */
export const STAGE_LAYERS = 40;
export const STAGE_TOKENS = 44;
export const STAGE_ROPE = 48;
export const STAGE_PAGES = 52;
export const STAGE_HIDDEN_STATES = 56;
export const STAGE_NORMED = 60;
export const STAGE_ACTIVATIONS = 64;
export const STAGE_QUERIES = 68;
export const STAGE_KEYS = 72;
export const STAGE_VALUES = 76;
export const STAGE_GATE = 80;
export const STAGE_UP = 84;
export const STAGE_PROJECTED = 88;
export const STAGE_QUERY_SCRATCH = 92;
export const STAGE_SCORES = 96;
export const STAGE_EMBEDDING = 100;
export const STAGE_FINAL_NORM = 104;
export const STAGE_LM_HEAD = 108;
export const STAGE_INDICES = 112;
export const STAGE_LOGITS = 116;
export const STAGE_BYTES = 128;

/** One layer: addresses of its tensors; a bias that the model lacks is 0. */
export const LAYER_ATTN_NORM = 0;
export const LAYER_Q_PROJ = 4;
export const LAYER_K_PROJ = 8;
export const LAYER_V_PROJ = 12;
export const LAYER_Q_BIAS = 16;
export const LAYER_K_BIAS = 20;
export const LAYER_V_BIAS = 24;
export const LAYER_O_PROJ = 28;
export const LAYER_MLP_NORM = 32;
export const LAYER_GATE_PROJ = 36;
export const LAYER_UP_PROJ = 40;
export const LAYER_DOWN_PROJ = 44;
export const LAYER_BYTES = 48;

/** One token of a step. Written before every step. */
export const TOKEN_POSITION = 0;
/** Address of its sequence's page table: one u32 page index for each `PAGE_TOKENS` positions. */
export const TOKEN_PAGE_TABLE = 4;
export const TOKEN_BYTES = 8;

// Memory =============================================================================================================

/** Where the host's arena starts; the compiler's own static data lies below. */
export const ARENA_BASE = 2048;
