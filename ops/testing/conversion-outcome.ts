/** What a conversion of damaged or hostile bytes came to. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ConvertError, type ConvertErrorCode } from '../convert/convert-error.ts';
import { convertModel } from '../convert/convert-model.ts';

/**
 * Writes `bytes` to `source` and converts it to a folder beside it.
 * @returns the code of the error, or null when the file was accepted
 * @throws whatever is no ConvertError: that is what such tests look for
 */
export async function conversionOutcome(source: string, bytes: Uint8Array): Promise<ConvertErrorCode | null> {
  await writeFile(source, bytes);
  try {
    await convertModel({ source, outDir: path.join(path.dirname(source), 'out'), modelName: 'case' });
    return null;
  } catch (error) {
    if (error instanceof ConvertError) {
      return error.code;
    }
    throw error;
  }
}

/** What a fuzzed file may come to; that it came to anything, without a throw, is the point. */
export function isOutcome(code: ConvertErrorCode | null): boolean {
  return code === null || code.length > 0;
}
