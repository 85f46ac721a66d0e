/** Colours for standard error and standard output: only on a terminal, and never against `NO_COLOR`. */
import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

export type Paint = (format: Format, text: string) => string;

/** `styleText` looks at the stream and at `NO_COLOR`, `NODE_DISABLE_COLORS` and `FORCE_COLOR`. */
export function painter(stream: NodeJS.WriteStream): Paint {
  return (format, text) => styleText(format, text, { stream });
}
