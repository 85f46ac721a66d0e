/** What a model can be asked for beside plain text. A request needs some of these; a backend has some of these. */

export const CAPABILITIES = [
  'chat',
  'completion',
  'tools',
  'json_object',
  'json_schema',
  'image_input',
  'image_generation',
  'embeddings',
  'rerank',
  'infill',
  'reasoning',
] as const;

export type Capability = (typeof CAPABILITIES)[number];

/** One thing that a request needs, and the field that asks for it, by which it is refused. */
export interface Need {
  readonly capability: Capability;
  readonly param: string | null;
}

/** What every ring has. */
export const RING_CAPABILITIES: ReadonlySet<Capability> = new Set(['chat', 'completion']);

/** What a ring has besides when there is a projection for its model's embeddings. */
export const EMBEDDING_CAPABILITIES: ReadonlySet<Capability> = new Set(['embeddings', 'rerank']);
