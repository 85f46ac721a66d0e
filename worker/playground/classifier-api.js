/**
 * Calls of the classification API.
 * @module
 */
import { errorOf, eventData } from './chat-stream.js';

/** @typedef {{ apiKey: string, method?: string, contentType?: string, body?: BodyInit, signal?: AbortSignal }} Call */

/**
 * @param {string} path
 * @param {Call} call
 * @returns {Promise<Response>}
 * @throws {Error} with the server's own message when it refuses or fails
 */
async function request(path, { apiKey, method = 'GET', contentType, body, signal }) {
  const headers = {
    authorization: `Bearer ${apiKey}`,
    ...(contentType === undefined ? {} : { 'content-type': contentType }),
  };
  const response = await fetch(path, { method, headers, body, signal });
  if (!response.ok) {
    throw await errorOf(response);
  }
  return response;
}

/** @returns {Promise<object>} the answer's JSON */
export async function callApi(path, call) {
  return (await request(path, call)).json();
}

/**
 * A file of the API, which a link alone cannot fetch: it needs the key.
 * @returns {Promise<{ blob: Blob, name: string }>}
 */
export async function downloadFile(path, call) {
  const response = await request(path, call);
  const name = /filename="([^"]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1] ?? 'download';
  return { blob: await response.blob(), name };
}

/**
 * A classifier as it is, and again whenever its training has come further, until that is over.
 * @param {string} id
 * @param {Call} call
 * @returns {AsyncGenerator<object>}
 */
export async function* watchClassifier(id, call) {
  const response = await request(`${classifierPath(id)}?stream=true`, call);
  for await (const data of eventData(response.body)) {
    if (data === '[DONE]') {
      return;
    }
    yield JSON.parse(data);
  }
  throw new Error('The connection broke off. Training goes on: choose the classifier again to see it.');
}

/** @param {string} id */
export const classifierPath = (id) => `/v1/classifiers/${encodeURIComponent(id)}`;
