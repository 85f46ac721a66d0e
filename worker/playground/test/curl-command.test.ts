import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { curlCommand } from '../curl-command.js';

const REQUEST = { url: 'http://127.0.0.1/v1/classify?name=a&b', contentType: 'application/json', file: 'request.json' };

/** The arguments that a shell makes of the command. */
function shellArguments(body: string | null): string[] {
  const script = `curl() { printf '%s\\0' "$@"; }\n${curlCommand({ ...REQUEST, body })}`;
  const env = { LAMINA_API_KEY: 'sk-secret' };
  return execFileSync('/bin/sh', ['-c', script], { env, encoding: 'utf8' }).split('\0').slice(0, -1);
}

describe('curlCommand', () => {
  it('is read by a shell as it was meant, whatever stands in the body', () => {
    const body = `it's $HOME \`id\` \\n "x"\nsecond line`;
    expect(shellArguments(body)).toEqual([
      REQUEST.url,
      '-H',
      'Authorization: Bearer sk-secret',
      '-H',
      'Content-Type: application/json',
      '--data-binary',
      body,
    ]);
  });

  it.each([
    ['is not at hand', null],
    ['is too long', 'x'.repeat(32_001)],
    ['would name a file', '@home'],
  ])('names a file for a body that %s', (_why, body) => {
    expect(shellArguments(body).at(-1)).toBe('@request.json');
  });

  it('has the longest body that it takes in itself', () => {
    for (const longest of ["'".repeat(32_000), '語'.repeat(32_000)]) {
      expect(shellArguments(longest).at(-1)).toBe(longest);
    }
  });
});
