/** Moderation by a classifier that the operator names. */
import * as z from 'zod';
import type { Judgement } from './judgement.ts';

/** JSON of the variable `MODERATION`. */
const moderationSchema = z.strictObject({
  /** Whose classifier it is: `GET /v1/tenant` tells the owner. */
  tenant: z.string().min(1),
  classifier: z.string().min(1),
  /** The latest by default. */
  version: z.int().min(1).optional(),
  /** Labels of texts that nothing is wrong with. The others are the categories. */
  safe_labels: z.array(z.string()).default(['safe']),
});

export type Moderation = z.infer<typeof moderationSchema>;

/**
 * @param value the variable; undefined where the operator names no classifier
 * @throws Error that says what is wrong with it
 */
export function parseModeration(value: string | undefined): Moderation | null {
  if (value === undefined || value === '') {
    return null;
  }
  const parsed = moderationSchema.safeParse(parseJson(value));
  if (!parsed.success) {
    throw new Error(`The variable MODERATION is not valid: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('The variable MODERATION is not JSON');
  }
}

export interface Moderated {
  readonly isFlagged: boolean;
  /** By category. */
  readonly scores: Readonly<Record<string, number>>;
  readonly flags: Readonly<Record<string, boolean>>;
}

/** A text is flagged with the categories that hold: the best label, or of independent labels each that is likely. */
export function moderate({ labels, scores }: Judgement, safeLabels: readonly string[]): Moderated {
  const categories = scores
    .filter(({ label }) => !safeLabels.includes(label))
    .sort((a, b) => (a.label < b.label ? -1 : 1));
  const flags = Object.fromEntries(categories.map(({ label }) => [label, labels.includes(label)]));
  return {
    isFlagged: Object.values(flags).includes(true),
    scores: Object.fromEntries(categories.map(({ label, score }) => [label, score])),
    flags,
  };
}
