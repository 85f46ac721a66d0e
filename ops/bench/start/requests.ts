/** The requests by which a cold start is told from what it consists of. */
import { LITE_MODEL_ID } from '../../plan/topology.ts';
import { OperatorError } from '../../support/operator-error.ts';
import type { StartRequests } from './bench-start.ts';

const HEADERS = { 'content-type': 'application/json', authorization: 'Bearer sk-local' };
/** How much of an error's body is worth showing. */
const BODY_CHARS_MAX = 300;

async function request(url: URL, route: string, body?: object): Promise<void> {
  const init =
    body === undefined ? { headers: HEADERS } : { method: 'POST', headers: HEADERS, body: JSON.stringify(body) };
  const response = await fetch(new URL(route, url), init);
  const text = await response.text();
  if (!response.ok) {
    throw new OperatorError('request_failed', `${route} answered ${response.status}: ${text.slice(0, BODY_CHARS_MAX)}`);
  }
}

export function startRequests(): StartRequests {
  let numChats = 0;
  const model = LITE_MODEL_ID;
  return {
    models: (url) => request(url, '/v1/models'),
    embedding: (url) => request(url, '/v1/embeddings', { model, input: 'Where does the river begin?' }),
    chat: (url) => {
      numChats++;
      const messages = [{ role: 'user', content: `${numChats} rivers: where do they begin?` }];
      return request(url, '/v1/chat/completions', { model, max_tokens: 1, temperature: 0, messages });
    },
  };
}
