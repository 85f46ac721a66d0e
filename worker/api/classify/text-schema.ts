import type { ClassifyRequestLimits } from '../../classify/request-limits.ts';
import { wellFormedText } from '../openai/schema.ts';

const encoder = new TextEncoder();

/** A text to classify. One that is too long is refused: cut, it might belong elsewhere. */
export function textSchema({ textBytesMax }: Pick<ClassifyRequestLimits, 'textBytesMax'>) {
  return wellFormedText
    .refine((text) => text.trim() !== '', { error: 'the text is empty' })
    .refine((text) => text.length * 3 <= textBytesMax || encoder.encode(text).length <= textBytesMax, {
      error: `the text is longer than ${textBytesMax} bytes; it is not cut, since its end may matter: shorten or split it`,
    });
}
