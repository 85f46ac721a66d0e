import { mergeConcurrently } from '../generation/merge.ts';

/**
 * Maps items by asynchronous calls, at most `concurrencyMax` at a time.
 * @returns results in the order of the items. @throws what the first failing call throws.
 */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  concurrencyMax: number,
  map: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const sources = items.map(
    (item) =>
      async function* () {
        yield await map(item);
      },
  );
  for await (const { index, value } of mergeConcurrently(sources, concurrencyMax)) {
    results[index] = value;
  }
  return results;
}
