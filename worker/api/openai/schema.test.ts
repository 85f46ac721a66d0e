import { expect, it } from 'vitest';
import { oncePerLimits } from './schema.ts';

it('makes a schema once for each object of limits', () => {
  let numMade = 0;
  const schemaOf = oncePerLimits(
    (limits: { readonly textsMax: number }) => `schema ${(numMade += 1)} of ${limits.textsMax}`,
  );
  const [small, large] = [{ textsMax: 1 }, { textsMax: 2 }];
  expect([schemaOf(small), schemaOf(large), schemaOf(small)]).toEqual([
    'schema 1 of 1',
    'schema 2 of 2',
    'schema 1 of 1',
  ]);
});
