/** Where the labels of a request come from. */

/** A label that comes with a request instead of a trained classifier. */
export interface LabelSpec {
  readonly name: string;
  /** What stands for the label where it is judged by its words; its name where there is none. */
  readonly description: string | null;
  readonly examples: readonly string[];
}

export type LabelSource =
  /** `version` is null for the latest. */
  | { readonly type: 'classifier'; readonly id: string; readonly version: number | null }
  | { readonly type: 'labels'; readonly labels: readonly LabelSpec[] };

export function phraseOf({ name, description }: LabelSpec): string {
  return description ?? name;
}
