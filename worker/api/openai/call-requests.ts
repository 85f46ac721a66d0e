/** Bodies of the endpoints whose answer is one body: `/v1/embeddings`, `/v1/rerank`, `/v1/images/generations`. */
import * as z from 'zod';
import type { GatewayLimits } from '../../limits.ts';
import type { CalledOperation } from '../../origin/origin-backend.ts';
import type { Capability } from '../../routing/capabilities.ts';
import type { ServedSurface } from '../../metering/served-record.ts';
import { boundedList, parseOrRefuse, wellFormedText } from './schema.ts';
import { refuseUnsupported } from './unsupported.ts';

export interface CallSurface {
  readonly name: Extract<ServedSurface, 'embeddings' | 'rerank' | 'images.generations'>;
  readonly operation: CalledOperation;
  readonly capability: Capability;
  /** @returns the body for the origin, without `model`. @throws ApiError naming the first field that is wrong. */
  readonly parse: (body: unknown, limits: GatewayLimits) => Record<string, unknown>;
}

/** OpenAI's ranges. */
const USER_LENGTH_MAX = 512;
const DIMENSIONS_MAX = 16_384;
const IMAGES_PER_CALL_MAX = 4;
const IMAGE_SIDE_MAX = 2048;
/** Sides of an image: 256x256 to 2048x2048; models refuse what they do not make. */
const IMAGE_SIZE = /^(\d{2,4})x(\d{2,4})$/;

const common = { model: wellFormedText.min(1), user: wellFormedText.max(USER_LENGTH_MAX).optional() };

const tokenId = z.int().min(0);

function inputSchema(limits: GatewayLimits) {
  const texts = boundedList(wellFormedText.min(1), 1, limits.embeddingInputsMax);
  const tokens = boundedList(tokenId, 1, limits.bodyBytesMax);
  const tokenLists = boundedList(tokens, 1, limits.embeddingInputsMax);
  return z.any().transform((value: unknown, context): string | string[] | number[] | number[][] => {
    const first: unknown = Array.isArray(value) ? value[0] : undefined;
    const parsed =
      typeof value === 'string'
        ? wellFormedText.min(1).safeParse(value)
        : // Token ids of one text or of several; as many as a body may hold.
          (typeof first === 'number' ? tokens : Array.isArray(first) ? tokenLists : texts).safeParse(value);
    if (parsed.success) {
      return parsed.data;
    }
    const issue = parsed.error.issues[0];
    context.addIssue({ code: 'custom', message: issue?.message ?? 'it is not valid', path: [...(issue?.path ?? [])] });
    return z.NEVER;
  });
}

/** Checks against a schema and drops what is the gateway's own business. */
function checked(schema: z.ZodType<object>, body: unknown, unsupported = {}): Record<string, unknown> {
  const {
    model: _model,
    user: _user,
    ...rest
  } = parseOrRefuse(schema, refuseUnsupported(body, unsupported)) as Record<string, unknown>;
  return rest;
}

export const EMBEDDINGS_SURFACE: CallSurface = {
  name: 'embeddings',
  operation: 'embeddings',
  capability: 'embeddings',
  parse: (body, limits) =>
    checked(
      z.strictObject({
        ...common,
        input: inputSchema(limits),
        // The official client asks for base64 by itself.
        encoding_format: z.enum(['float', 'base64']).optional(),
        dimensions: z.int().min(1).max(DIMENSIONS_MAX).optional(),
      }),
      body,
    ),
};

/** The form of Jina and Cohere, which vLLM, SGLang and llama.cpp have taken over. */
export const RERANK_SURFACE: CallSurface = {
  name: 'rerank',
  operation: 'rerank',
  capability: 'rerank',
  parse: (body, limits) =>
    checked(
      z.strictObject({
        ...common,
        query: wellFormedText.min(1),
        documents: boundedList(wellFormedText.min(1), 1, limits.rerankDocumentsMax),
        top_n: z.int().min(1).max(limits.rerankDocumentsMax).optional(),
        return_documents: z.boolean().optional(),
      }),
      body,
    ),
};

const imageSize = z.string().refine(
  (size) => {
    const sides = IMAGE_SIZE.exec(size);
    return sides !== null && Number(sides[1]) <= IMAGE_SIDE_MAX && Number(sides[2]) <= IMAGE_SIDE_MAX;
  },
  { error: `expected a width and a height of at most ${IMAGE_SIDE_MAX}, such as '1024x1024'` },
);

export const IMAGES_SURFACE: CallSurface = {
  name: 'images.generations',
  operation: 'image',
  capability: 'image_generation',
  parse: (body, limits) =>
    checked(
      z.strictObject({
        ...common,
        prompt: wellFormedText.min(1).max(limits.imagePromptLengthMax),
        n: z.int().min(1).max(IMAGES_PER_CALL_MAX).optional(),
        size: imageSize.optional(),
        quality: z.enum(['auto', 'low', 'medium', 'high', 'standard', 'hd']).optional(),
        // An address would lead into the origin's own network.
        response_format: z.literal('b64_json', { error: "only 'b64_json' is supported" }).default('b64_json'),
      }),
      body,
      { background: ['auto'], moderation: ['auto'], output_format: ['png'], stream: [false], style: [] },
    ),
};
