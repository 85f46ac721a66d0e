/** Lists of counts on the command line. */
import { parseCount } from '../cli/context.ts';

/** `1,2,4` as numbers. */
export function parseCounts(flag: string, text: string): number[] {
  return text.split(',').map((entry) => parseCount(flag, entry.trim()) ?? 1);
}
