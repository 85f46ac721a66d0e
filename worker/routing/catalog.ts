/** The models that this gateway offers: which public name leads to which backend. */
import * as z from 'zod';
import { EMBEDDING_CAPABILITIES, RING_CAPABILITIES, type Capability } from './capabilities.ts';
import { TIERS } from './tiers.ts';

/**
 * Replicas of a model at most. Each is a ring of scripts of its own; a gateway that finds all of them full asks each once
 * before it says so.
 */
export const REPLICA_COUNT_MAX = 16;

/**
 * How the model chooses tokens where a request does not say: what its authors recommend. What is absent here is what
 * OpenAI's API has: temperature 1, and everything else off. The ranges are those of the API.
 */
const defaultSamplingSchema = z.strictObject({
  temperature: z.number().min(0).max(2).optional(),
  topP: z.number().min(0).max(1).optional(),
  topK: z.int().min(0).optional(),
  minP: z.number().min(0).max(1).optional(),
  repetitionPenalty: z.number().positive().max(2).optional(),
});

export type DefaultSampling = z.infer<typeof defaultSamplingSchema>;

/** The model runs in the platform, on rings of shards. */
const ringSchema = z.strictObject({
  type: z.literal('ring'),
  /** Registry name of the model. */
  model: z.string().min(1),
  /** Bindings of the namespaces of the replicas' head shards. */
  headBindings: z.array(z.string().min(1)).min(1).max(REPLICA_COUNT_MAX),
  /** Folder of `tokenizer.json` and `chat.json` among the gateway's assets. */
  assetsPath: z.string().startsWith('/'),
  defaultSampling: defaultSamplingSchema.default({}),
  /** File of the model's embedding projection among the gateway's assets; a model without one has no embeddings. */
  projectionPath: z.string().startsWith('/').optional(),
});

/** Whatever origins are attached that serve the entry's id. Without one the model is listed, and answers 503. */
const originsSchema = z.strictObject({ type: z.literal('origins') });

const catalogEntrySchema = z.strictObject({
  /** Public name, as clients write it. */
  id: z.string().min(1),
  tier: z.enum(TIERS),
  backend: z.discriminatedUnion('type', [ringSchema, originsSchema]),
  /** Other names that clients may use. */
  aliases: z.array(z.string().min(1)).default([]),
  /** Longest sequence that is served, in tokens, where that is less than the model's own context. */
  contextLengthMax: z.int().positive().optional(),
  /** Seconds since the epoch, for `GET /v1/models`. */
  created: z.int().nonnegative().default(0),
});

export type CatalogEntry = z.infer<typeof catalogEntrySchema>;

export type RingBackend = z.infer<typeof ringSchema>;

/** An entry whose model runs in the platform. */
export type RingEntry = CatalogEntry & { readonly backend: RingBackend };

export const isRingEntry = (entry: CatalogEntry): entry is RingEntry => entry.backend.type === 'ring';

/** What the ring of an entry can be asked for. */
export function ringCapabilities({ backend }: RingEntry): ReadonlySet<Capability> {
  return backend.projectionPath === undefined
    ? RING_CAPABILITIES
    : new Set([...RING_CAPABILITIES, ...EMBEDDING_CAPABILITIES]);
}

export interface Catalog {
  readonly entries: readonly CatalogEntry[];
  /** The entry with this id or alias. */
  find(name: string): CatalogEntry | undefined;
}

/**
 * @param value the `CATALOG` variable: a JSON text, or what it parses to.
 * @throws Error naming the field that is wrong, or the name that two entries share.
 */
export function parseCatalog(value: unknown): Catalog {
  const parsed = z
    .array(catalogEntrySchema)
    .min(1)
    .safeParse(typeof value === 'string' ? JSON.parse(value) : value);
  if (!parsed.success) {
    throw new Error(`The variable CATALOG is not valid: ${z.prettifyError(parsed.error)}`);
  }
  const entryOfName = new Map<string, CatalogEntry>();
  for (const entry of parsed.data) {
    for (const name of new Set([entry.id, ...entry.aliases])) {
      if (entryOfName.has(name)) {
        throw new Error(`The variable CATALOG is not valid: the name '${name}' stands for two models`);
      }
      entryOfName.set(name, entry);
    }
  }
  return { entries: parsed.data, find: (name) => entryOfName.get(name) };
}
