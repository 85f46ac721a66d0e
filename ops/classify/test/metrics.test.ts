import { describe, expect, it } from 'vitest';
import { evaluate, type Answer } from '../metrics.ts';

const answer = (
  actual: string | null,
  predicted: string,
  confidence = 0.9,
  outOfScope: number | null = null,
): Answer => ({ actual, predicted, confidence, outOfScope });

describe('evaluate', () => {
  it('gives accuracy, macro-F1 and confusions', () => {
    const answers = [
      answer('a', 'a'),
      answer('a', 'a'),
      answer('a', 'b'),
      answer('b', 'b'),
      answer('c', 'b'),
      answer(null, 'a'),
    ];
    const { accuracy, macroF1, confusions, numAnswers, outOfScopeAuroc } = evaluate(answers);
    expect(numAnswers).toBe(5);
    expect(accuracy).toBeCloseTo(3 / 5);
    // F1 of a: 2·2/(3+2), of b: 2·1/(1+3), of c: 0; as scikit-learn's f1_score with average='macro'.
    expect(macroF1).toBeCloseTo((0.8 + 0.5 + 0) / 3);
    expect(confusions).toEqual([
      { actual: 'a', predicted: 'b', count: 1 },
      { actual: 'c', predicted: 'b', count: 1 },
    ]);
    expect(outOfScopeAuroc).toBeNull();
  });

  it('weighs how far the confidence of each bin is from its accuracy', () => {
    const answers = [answer('a', 'a', 1), answer('a', 'b', 1), answer('a', 'a', 0.5), answer('a', 'a', 0.5)];
    const { ece, bins } = evaluate(answers);
    // Half of the answers are said to be certain and half of those are right; the other half the other way round.
    expect(ece).toBeCloseTo(0.5 * 0.5 + 0.5 * 0.5);
    expect(bins.at(-1)).toMatchObject({ count: 2, meanConfidence: 1, accuracy: 0.5 });
    expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(4);
  });

  it('tells how well texts out of scope are told from the others, ties counting half', () => {
    const auroc = (out: readonly number[], known: readonly number[]) =>
      evaluate([
        ...out.map((score) => answer(null, 'a', 0.5, score)),
        ...known.map((score) => answer('a', 'a', 0.5, score)),
      ]).outOfScopeAuroc;
    expect(auroc([0.9, 0.8], [0.1, 0.2])).toBe(1);
    expect(auroc([0.1], [0.9, 0.8])).toBe(0);
    expect(auroc([0.5, 0.5], [0.5])).toBe(0.5);
    // Of six pairs four are in order, one is not, one is a tie.
    expect(auroc([0.4, 0.8], [0.1, 0.4, 0.6])).toBeCloseTo(4.5 / 6);
  });
});
