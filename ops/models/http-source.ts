/**
 * Downloads a file over HTTP into a part file, continuing where the last attempt or the last run stopped
 * (RFC 9110 section 14, range requests).
 */
import type { Step } from '../support/progress.ts';
import { formatMs } from '../support/format.ts';
import { messageOf } from '../support/operator-error.ts';
import type { PartFile } from './part-file.ts';

export interface HttpLimits {
  /** Until the headers of the answer are there. Short: an unreachable source must not hold up the next one. */
  readonly connectTimeoutMs: number;
  /** Between two pieces of the body. */
  readonly stallTimeoutMs: number;
  /** Attempts that each brought new bytes before they broke. An attempt that brings none ends the source at once. */
  readonly attemptsMax: number;
}

export const HTTP_LIMITS: HttpLimits = { connectTimeoutMs: 5_000, stallTimeoutMs: 30_000, attemptsMax: 20 };

export type SourceResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** What one attempt ended with. `broken`: the connection failed, and another attempt may continue. */
type AttemptResult =
  | { readonly kind: 'complete' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'broken'; readonly reason: string };

/** Aborts when `expect` was not called again in time. */
class Watchdog {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | null = null;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  expect(withinMs: number, what: string): void {
    this.stop();
    this.#timer = setTimeout(() => this.#controller.abort(new Error(`${what} for ${formatMs(withinMs)}`)), withinMs);
  }

  stop(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
    }
  }
}

/** Size of the whole file according to the answer, or null when it does not say. */
function offeredBytes(response: Response): number | null {
  const header =
    response.status === 206
      ? (/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1] ?? null)
      : response.headers.get('content-length');
  return header === null ? null : Number(header);
}

/** Brings the part to where the body of this answer starts, or says why the answer cannot be used. */
async function alignPart(response: Response, part: PartFile, expectedBytes: number): Promise<AttemptResult | null> {
  if (response.status === 416) {
    await part.reset();
    return { kind: 'broken', reason: 'the server refused to continue the download; starting again' };
  }
  if (response.status !== 200 && response.status !== 206) {
    return { kind: 'refused', reason: `HTTP ${response.status} ${response.statusText}`.trim() };
  }
  const offered = offeredBytes(response);
  // A compressed answer has the length of its compressed form, which says nothing about the file.
  if (offered !== null && offered !== expectedBytes && response.headers.get('content-encoding') === null) {
    return { kind: 'refused', reason: `it offers ${offered} bytes, expected ${expectedBytes}` };
  }
  const startsAt =
    response.status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) : 0;
  if (startsAt !== part.bytesWritten) {
    if (startsAt !== 0) {
      return { kind: 'refused', reason: `it answered from byte ${startsAt}, asked for ${part.bytesWritten}` };
    }
    await part.reset();
  }
  return null;
}

async function attempt(
  url: string,
  part: PartFile,
  expectedBytes: number,
  step: Step,
  limits: HttpLimits,
): Promise<AttemptResult> {
  const watchdog = new Watchdog();
  try {
    watchdog.expect(limits.connectTimeoutMs, 'no answer');
    const resumes = part.bytesWritten > 0;
    const response = await fetch(url, {
      // An encoded answer could not be continued by byte position.
      headers: { 'accept-encoding': 'identity', ...(resumes ? { range: `bytes=${part.bytesWritten}-` } : {}) },
      signal: watchdog.signal,
    });
    const unusable = await alignPart(response, part, expectedBytes);
    if (unusable !== null) {
      await response.body?.cancel();
      return unusable;
    }
    watchdog.expect(limits.stallTimeoutMs, 'no data');
    for await (const chunk of response.body ?? []) {
      watchdog.expect(limits.stallTimeoutMs, 'no data');
      if (!(await part.append(chunk))) {
        await part.reset();
        return { kind: 'refused', reason: `it sends more than the expected ${expectedBytes} bytes` };
      }
      step.update(part.bytesWritten);
    }
    return part.bytesWritten === expectedBytes
      ? { kind: 'complete' }
      : { kind: 'broken', reason: `the connection ended after ${part.bytesWritten} of ${expectedBytes} bytes` };
  } catch (error) {
    return { kind: 'broken', reason: messageOf(watchdog.signal.aborted ? watchdog.signal.reason : error) };
  } finally {
    watchdog.stop();
  }
}

/** Downloads `url` to the end of `part`. The caller checks the hash. */
export async function downloadOverHttp(options: {
  readonly url: string;
  readonly part: PartFile;
  readonly expectedBytes: number;
  readonly step: Step;
  readonly limits?: HttpLimits;
}): Promise<SourceResult> {
  const { url, part, expectedBytes, step, limits = HTTP_LIMITS } = options;
  for (let attemptIndex = 1; ; attemptIndex += 1) {
    const bytesBefore = part.bytesWritten;
    const result = await attempt(url, part, expectedBytes, step, limits);
    if (result.kind === 'complete') {
      return { ok: true };
    }
    // A refused range leaves an empty part: asking once more, for the whole file, is worth it.
    const startsAgain = bytesBefore > 0 && part.bytesWritten === 0;
    const madeProgress = part.bytesWritten > bytesBefore || startsAgain;
    if (result.kind === 'refused' || !madeProgress || attemptIndex >= limits.attemptsMax) {
      return { ok: false, reason: result.reason };
    }
    step.note(`${result.reason}; continuing`);
  }
}

/** Address of a file on the hub. `HF_ENDPOINT` names a mirror, as it does for the hub's own tools. */
export function huggingFaceUrl(
  source: { readonly repository: string; readonly commit: string; readonly file: string },
  env: NodeJS.ProcessEnv,
): string {
  const endpoint = (env['HF_ENDPOINT'] ?? '') === '' ? 'https://huggingface.co' : (env['HF_ENDPOINT'] ?? '');
  const file = source.file.split('/').map(encodeURIComponent).join('/');
  return `${endpoint.replace(/\/+$/, '')}/${source.repository}/resolve/${source.commit}/${file}`;
}
