/** From scores of labels to an answer: the best label, or none and why. */

export interface LabelScore {
  readonly label: string;
  /** Probability, 0 to 1; over all labels they add up to 1, unless the labels are independent of each other. */
  readonly score: number;
}

/** What is known of one text. */
export interface Scored {
  /** One for each label, in their order. */
  readonly probabilities: ArrayLike<number>;
  /** 0 to 1; null where nothing tells. */
  readonly outOfScope: number | null;
}

export interface JudgementRules {
  readonly labels: readonly string[];
  /** Whether a text may have several labels, or none. */
  readonly isMultiLabel: boolean;
  /** Scores to report; null for all. */
  readonly topK: number | null;
  /** A best score under it is none; null for any. */
  readonly below: number | null;
  /** A text that is further out of scope gets no label; null for any. */
  readonly outOfScopeThreshold: number | null;
}

export type NoLabelReason =
  /** The best label is not likely enough. */
  | 'below'
  | 'out_of_scope'
  /** Of labels that are independent of each other none holds. */
  | 'none_holds';

export interface Judgement {
  readonly label: string | null;
  /** Why there is none; null when there is one. */
  readonly reason: NoLabelReason | null;
  /** Of a multi-label answer, all that hold, the most likely first. */
  readonly labels: readonly string[];
  /** The most likely first. */
  readonly scores: readonly LabelScore[];
  readonly outOfScope: number | null;
}

/** A label that is independent of the others holds when it is likelier than not. */
const HOLDS_FROM = 0.5;

export function judge({ probabilities, outOfScope }: Scored, rules: JudgementRules): Judgement {
  const ranked = rules.labels
    .map((label, index) => ({ label, score: probabilities[index] ?? 0 }))
    .sort((a, b) => b.score - a.score);
  const holding = rules.isMultiLabel ? ranked.filter(({ score }) => score >= HOLDS_FROM) : ranked.slice(0, 1);
  const reason = noLabelReason(holding[0] ?? null, outOfScope, rules);
  return {
    label: reason === null ? (holding[0]?.label ?? null) : null,
    reason,
    labels: reason === null ? holding.map(({ label }) => label) : [],
    scores: ranked.slice(0, rules.topK ?? ranked.length),
    outOfScope,
  };
}

function noLabelReason(
  best: LabelScore | null,
  outOfScope: number | null,
  { below, outOfScopeThreshold }: JudgementRules,
): NoLabelReason | null {
  if (outOfScopeThreshold !== null && outOfScope !== null && outOfScope > outOfScopeThreshold) {
    return 'out_of_scope';
  }
  if (best === null) {
    return 'none_holds';
  }
  return below !== null && best.score < below ? 'below' : null;
}
