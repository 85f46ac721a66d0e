/** Runs several asynchronous generators at once and yields what they yield, as it comes. */

export interface Merged<T> {
  /** Index of the generator that yielded. */
  readonly index: number;
  readonly value: T;
}

/**
 * Starts `sources` in order, at most `concurrencyMax` at a time. Each is asked for its next value only after the last one
 * was taken, so a slow reader slows every source.
 * @throws what the first failing source throws. Then, and when the reader leaves early, all sources are ended.
 */
export async function* mergeConcurrently<T>(
  sources: readonly (() => AsyncGenerator<T, void, undefined>)[],
  concurrencyMax: number,
): AsyncGenerator<Merged<T>, void, undefined> {
  const running = new Map<number, AsyncGenerator<T, void, undefined>>();
  const pending = new Map<number, Promise<{ index: number; result: IteratorResult<T, void> }>>();
  const ask = (index: number, generator: AsyncGenerator<T, void, undefined>): void => {
    pending.set(
      index,
      generator.next().then((result) => ({ index, result })),
    );
  };
  let numStarted = 0;
  try {
    for (;;) {
      for (; running.size < concurrencyMax && numStarted < sources.length; numStarted++) {
        const generator = (sources[numStarted] as () => AsyncGenerator<T, void, undefined>)();
        running.set(numStarted, generator);
        ask(numStarted, generator);
      }
      if (running.size === 0) {
        return;
      }
      const { index, result } = await Promise.race(pending.values());
      pending.delete(index);
      if (result.done === true) {
        running.delete(index);
        continue;
      }
      yield { index, value: result.value };
      ask(index, running.get(index) as AsyncGenerator<T, void, undefined>);
    }
  } finally {
    for (const outcome of pending.values()) {
      // One failure is reported; those that follow from ending the others are not.
      outcome.catch(() => {});
    }
    for (const generator of running.values()) {
      void generator.return().catch(() => {});
    }
  }
}
