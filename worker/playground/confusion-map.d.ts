/** Types of `confusion-map.js`, which browsers load as it is. */
export const MAP_LABELS_MAX: number;
export function confusionShares(report: {
  readonly labels: readonly { readonly label: string; readonly num_examples: number; readonly recall: number | null }[];
  readonly confusions: readonly { readonly actual: string; readonly predicted: string; readonly count: number }[];
}): { readonly labels: readonly string[]; readonly shares: readonly (readonly number[])[] };
