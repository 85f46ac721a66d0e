/** Reads a request body without ever holding more than its limit. */
import { err, ok, type Result } from '../../../shards/result.ts';

export type BodyError =
  | { readonly reason: 'too_large'; readonly bytesMax: number }
  | { readonly reason: 'not_utf8' }
  | { readonly reason: 'not_json'; readonly detail: string };

/** @returns the parsed JSON of the body. */
export async function readJsonBody(request: Request, bytesMax: number): Promise<Result<unknown, BodyError>> {
  const tooLarge = err<BodyError>({ reason: 'too_large', bytesMax });
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) {
    await request.body?.cancel();
    return tooLarge;
  }
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
  let text = '';
  let numBytes = 0;
  const reader = request.body?.getReader();
  try {
    for (;;) {
      const chunk = await reader?.read();
      if (chunk === undefined || chunk.done) {
        break;
      }
      numBytes += chunk.value.byteLength;
      if (numBytes > bytesMax) {
        await reader?.cancel();
        return tooLarge;
      }
      text += decoder.decode(chunk.value, { stream: true });
    }
    text += decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) {
      return err({ reason: 'not_utf8' });
    }
    throw error;
  }
  try {
    return ok(JSON.parse(text));
  } catch (error) {
    return err({ reason: 'not_json', detail: error instanceof Error ? error.message : 'cannot be parsed' });
  }
}
