import { describe, expect, it } from 'vitest';
import { DraftVerification } from '../verify-draft.ts';

const DRAFT = { tokens: [7, 8, 9] };

/** Positions whose logits are usable at the moment. */
function usable(verification: DraftVerification): number[] {
  return [19, 20, 21, 22, 23, 24].filter((position) => verification.isUsable(position));
}

describe('DraftVerification', () => {
  it('goes on while the model chooses the draft, and one token further', () => {
    const verification = new DraftVerification(DRAFT, 20);
    expect(usable(verification)).toEqual([20]);
    expect(DRAFT.tokens.map((tokenId) => verification.choose(tokenId))).toEqual([true, true, true]);
    expect(usable(verification)).toEqual([23]);
    expect(verification.choose(7)).toBe(false);
    expect(usable(verification)).toEqual([]);
  });

  it('ends with the first other token, even if a later row would fit', () => {
    const verification = new DraftVerification(DRAFT, 20);
    expect(verification.choose(7)).toBe(true);
    expect(verification.choose(9)).toBe(false);
    expect(usable(verification)).toEqual([]);
  });
});
