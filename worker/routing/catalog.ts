/** The models that this gateway serves: which public name leads to which head shard and to which text files. */
import * as z from 'zod';

const catalogEntrySchema = z.strictObject({
  /** Public name, as clients write it. */
  id: z.string().min(1),
  /** Registry name of the model behind it. */
  model: z.string().min(1),
  /** Binding of the namespace of the head shard. */
  headBinding: z.string().min(1),
  /** Folder of `tokenizer.json` and `chat.json` among the gateway's assets. */
  assetsPath: z.string().startsWith('/'),
  /** Other names that clients may use. */
  aliases: z.array(z.string().min(1)).default([]),
  /** Longest sequence that the ring serves, in tokens, where that is less than the model's own context. */
  contextLengthMax: z.int().positive().optional(),
  /** Seconds since the epoch, for `GET /v1/models`. */
  created: z.int().nonnegative().default(0),
});

export type CatalogEntry = z.infer<typeof catalogEntrySchema>;

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
