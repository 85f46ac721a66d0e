/** Types of `curl-command.js`, which browsers load as it is. */
export function curlCommand(request: {
  readonly url: string;
  readonly contentType: string;
  readonly body: string | null;
  readonly file: string;
}): string;
