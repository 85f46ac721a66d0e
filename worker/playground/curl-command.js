/**
 * Requests as commands for a POSIX shell.
 * @module
 */

/**
 * Bodies up to here stand in the command; a longer one is a file that the reader has. Linux takes arguments of 128 KiB: a
 * UTF-16 unit has three bytes at most, and an escaped quote has four.
 */
const BODY_CHARS_MAX = 32_000;

/** A text in single quotes, in which a shell reads everything as it is. */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {{ url: string, contentType: string, body: string | null, file: string }} request
 *   `file` stands for a body that is too long or, as null, not at hand
 * @returns {string}
 */
export function curlCommand({ url, contentType, body, file }) {
  // What begins with @ is the name of a file to curl.
  const isInline = body !== null && body.length <= BODY_CHARS_MAX && !body.startsWith('@');
  return [
    `curl ${quoted(url)}`,
    '-H "Authorization: Bearer $LAMINA_API_KEY"',
    `-H ${quoted(`Content-Type: ${contentType}`)}`,
    `--data-binary ${isInline ? quoted(body) : `@${file}`}`,
  ].join(' \\\n  ');
}
