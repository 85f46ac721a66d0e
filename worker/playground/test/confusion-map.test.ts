import { describe, expect, it } from 'vitest';
import { confusionShares, MAP_LABELS_MAX } from '../confusion-map.js';

const label = (name: string, recall: number | null = 1) => ({ label: name, num_examples: 10, recall });

describe('confusionShares', () => {
  it('has recall on the diagonal and shares of the row beside it', () => {
    const confusions = [{ actual: 'a', predicted: 'b', count: 3 }];
    expect(confusionShares({ labels: [label('a', 0.7), label('b'), label('c', null)], confusions })).toEqual({
      labels: ['a', 'b', 'c'],
      shares: [
        [0.7, 0.3, 0],
        [0, 1, 0],
        [0, 0, 0],
      ],
    });
  });

  it('shows as many labels as its limit, those that are confused most', () => {
    const labels = Array.from({ length: MAP_LABELS_MAX }, (_, index) => label(`l${index}`));
    expect(confusionShares({ labels, confusions: [] }).labels).toHaveLength(MAP_LABELS_MAX);
    const confusions = [{ actual: 'last', predicted: 'l3', count: 1 }];
    const shown = confusionShares({ labels: [...labels, label('last')], confusions }).labels;
    expect(shown).toHaveLength(MAP_LABELS_MAX);
    expect(shown).toContain('last');
    expect(shown).toContain('l3');
  });
});
