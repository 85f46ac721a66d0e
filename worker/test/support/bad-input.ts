/** What a test of wrong requests looks at. */
import { expect } from 'vitest';
import type { ErrorBody } from './http.ts';

export const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

/** Checks the whole error. @returns its message. */
export async function expectError(response: Response, status: number, param: string | null, code: string | null) {
  const body = (await response.json()) as ErrorBody;
  expect({ status: response.status, param: body.error.param, code: body.error.code }).toEqual({ status, param, code });
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'type']);
  expect(body.error.message).not.toBe('');
  expect(response.headers.get('x-request-id')).not.toBeNull();
  return body.error.message;
}

/** A request and the error that it gets. */
export type BadInputRow = readonly [
  route: string,
  body: unknown,
  status: number,
  param: string | null,
  code: string | null,
];
