/** Requests to a gateway in this process, and what a test looks at in the answers. */
import type { createGateway } from '../../gateway.ts';

export interface ErrorBody {
  readonly error: { message: string; type: string; param: string | null; code: string | null };
}

type Gateway = ReturnType<typeof createGateway>;

export function post(app: Gateway, route: string, body: unknown, headers: Record<string, string> = {}) {
  return app.request(route, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-local', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** Data of the events of a whole stream, in order; comments are left out. */
export function sseData(body: string): string[] {
  return body
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
}

/** Waits until `condition` holds, for work that ends on its own but not at once. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadlineMs) {
      throw new Error(`waited too long for: ${what}`);
    }
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
