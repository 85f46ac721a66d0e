/** `/v1/embeddings` and `/v1/rerank` on the ring: texts to tokens, embeddings from the head shard, and the wire formats. */
import { FEATURE_LIMITS } from '../../../shards/features/limits.ts';
import { cosine, embedTexts, type Embedder } from '../../embeddings/embed-texts.ts';
import type { TextModel } from '../../tokenizer/text-model.ts';
import type { CallSurface } from './call-requests.ts';
import { badRequest } from './errors.ts';

export interface RingCall {
  readonly surface: CallSurface;
  /** As `surface.parse` left it. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Public name of the model. */
  readonly model: string;
  readonly textModel: TextModel;
}

/** A request whose texts are counted, so that it can be refused before anything is computed. */
export interface RingCallPlan {
  readonly promptTokens: number;
  run(embedder: Embedder, signal: AbortSignal): Promise<object>;
}

interface EmbeddingsBody {
  readonly input: string | string[] | number[] | number[][];
  readonly encoding_format?: 'float' | 'base64';
  readonly dimensions?: number;
}

interface RerankBody {
  readonly query: string;
  readonly documents: readonly string[];
  readonly top_n?: number;
  readonly return_documents?: boolean;
}

/** @throws ApiError for texts that the ring cannot embed */
export function planRingCall(call: RingCall, dimensionsMax: number): RingCallPlan {
  return call.surface.name === 'embeddings'
    ? planEmbeddings(call, call.body as unknown as EmbeddingsBody, dimensionsMax)
    : planRerank(call, call.body as unknown as RerankBody, dimensionsMax);
}

function planEmbeddings(call: RingCall, body: EmbeddingsBody, dimensionsMax: number): RingCallPlan {
  const { input, encoding_format: format = 'float', dimensions = dimensionsMax } = body;
  if (dimensions > dimensionsMax) {
    const message = `'dimensions' is ${dimensions}; embeddings of this model have at most ${dimensionsMax}.`;
    throw badRequest(message, 'dimensions', 'invalid_value');
  }
  const isTokens = Array.isArray(input) && typeof input[0] === 'number';
  const isOne = isTokens || typeof input === 'string';
  const items = (isOne ? [input] : input) as (string | number[])[];
  const texts = items.map((item, index) => tokensOf(call, item, isOne ? 'input' : `input[${index}]`));
  const promptTokens = numTokensOf(texts);
  return {
    promptTokens,
    async run(embedder, signal) {
      const embeddings = await embedTexts(embedder, texts, dimensions, signal);
      return {
        object: 'list',
        data: embeddings.map((embedding, index) => ({
          object: 'embedding',
          index,
          embedding: format === 'base64' ? toBase64(embedding) : [...embedding],
        })),
        model: call.model,
        usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      };
    },
  };
}

function planRerank(call: RingCall, body: RerankBody, dimensions: number): RingCallPlan {
  const { query, documents, top_n: topN = documents.length, return_documents: withDocuments = false } = body;
  const texts = [
    tokensOf(call, query, 'query'),
    ...documents.map((text, index) => tokensOf(call, text, `documents[${index}]`)),
  ];
  const promptTokens = numTokensOf(texts);
  return {
    promptTokens,
    async run(embedder, signal) {
      const [ofQuery, ...ofDocuments] = await embedTexts(embedder, texts, dimensions, signal);
      const scores = ofDocuments.map((embedding, index) => ({
        index,
        score: cosine(ofQuery ?? new Float32Array(), embedding),
      }));
      // Equal scores keep the order of the request.
      const best = scores.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, topN);
      return {
        id: embedder.requestId,
        model: call.model,
        results: best.map(({ index, score }) => ({
          index,
          relevance_score: score,
          ...(withDocuments ? { document: { text: documents[index] } } : {}),
        })),
        usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      };
    },
  };
}

function tokensOf({ textModel }: RingCall, item: string | readonly number[], param: string): readonly number[] {
  const { tokenizer, config } = textModel;
  // What the vocabulary cannot write at all counts as a space.
  const encoded = typeof item === 'string' ? tokenizer.encode(item) : item;
  const tokens = encoded.length > 0 ? encoded : tokenizer.encode(' ');
  if (tokens.length > FEATURE_LIMITS.textTokensMax) {
    const message = `'${param}' has ${tokens.length} tokens; at most ${FEATURE_LIMITS.textTokensMax} are embedded. Split it.`;
    throw badRequest(message, param, 'context_length_exceeded');
  }
  const wrong = tokens.find((tokenId) => tokenId >= config.vocabSize);
  if (wrong !== undefined) {
    const message = `'${param}' holds ${wrong}, which is not a token of a vocabulary of ${config.vocabSize}.`;
    throw badRequest(message, param, 'invalid_value');
  }
  return tokens;
}

function numTokensOf(texts: readonly (readonly number[])[]): number {
  return texts.reduce((sum, tokens) => sum + tokens.length, 0);
}

/** OpenAI's: the little-endian bytes of the f32 values. */
function toBase64(embedding: Float32Array<ArrayBuffer>): string {
  return btoa(String.fromCharCode(...new Uint8Array(embedding.buffer)));
}
