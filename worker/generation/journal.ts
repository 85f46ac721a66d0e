/** What is kept of a generation while it runs, so that another life of the object that runs it can go on with it. */
import type { Merged } from './merge.ts';
import type { TextEvent } from './text-sequence.ts';

export interface GenerationJournal {
  /** What earlier lives noted, in order: it is not generated again, and it is not noted again. */
  readonly past: readonly Merged<TextEvent>[];
  note(event: Merged<TextEvent>): void;
}
