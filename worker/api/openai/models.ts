/** `GET /v1/models` and `GET /v1/models/{id}`. */
import type { Catalog, CatalogEntry } from '../../routing/catalog.ts';
import { badRequest, type ApiError } from './errors.ts';

export function modelList(catalog: Catalog) {
  return { object: 'list', data: catalog.entries.map(toModel) };
}

/** @throws ApiError 404 for a name that is neither an id nor an alias. */
export function modelObject(catalog: Catalog, name: string) {
  const entry = catalog.find(name);
  if (entry === undefined) {
    throw unknownModel(catalog, name);
  }
  return toModel(entry);
}

/** Names in errors come from the client; a long one is cut. */
const MODEL_NAME_LENGTH_MAX = 64;

export function unknownModel(catalog: Catalog, name: string): ApiError {
  const known = catalog.entries.map((entry) => `'${entry.id}'`).join(', ');
  return badRequest(
    `The model '${name.slice(0, MODEL_NAME_LENGTH_MAX).toWellFormed()}' does not exist here. Use one of: ${known}.`,
    'model',
    'model_not_found',
    404,
  );
}

function toModel(entry: CatalogEntry) {
  return { id: entry.id, object: 'model', created: entry.created, owned_by: 'lamina' };
}
