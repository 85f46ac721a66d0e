/** Runs the sequences of a request on the ring and counts what comes. */
import { createEngineClient } from '../../../shards/client/engine-client.ts';
import { continueText } from '../../generation/continue-text.ts';
import type { GenerationJournal } from '../../generation/journal.ts';
import { mergeConcurrently, type Merged } from '../../generation/merge.ts';
import type { TextEvent } from '../../generation/text-sequence.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import type { GenerationRouteDeps } from './generation-run.ts';
import type { AnswerEvents, RingPlan } from './plan.ts';

/** @param journal of a run that may have begun before; null when nobody would go on with it. */
export async function* ringEvents(
  plan: RingPlan,
  meter: RequestMeter,
  signal: AbortSignal,
  journal: GenerationJournal | null,
  deps: GenerationRouteDeps,
): AnswerEvents {
  const engine = createEngineClient(deps.replicas(plan.model.entry), deps.clock, deps.resumeLimits);
  const { tokenizer } = plan.model.text;
  const past = journal?.past ?? [];
  const pastOf = (index: number): TextEvent[] =>
    past.filter((event) => event.index === index).map(({ value }) => value);
  const unfinished = plan.sequences
    .map((spec, index) => ({ spec, index, known: pastOf(index) }))
    .filter(({ known }) => known.at(-1)?.type !== 'finish');
  const sources = unfinished.map(
    ({ spec, known }) =>
      () =>
        continueText(engine, tokenizer, spec, known, signal, () => meter.resumed()),
  );
  const count = counterOf(meter, `ring/${plan.model.entry.backend.model}`);
  meter.attempted(1);
  for (const event of past) {
    count(event);
    yield event;
  }
  for await (const { index: sourceIndex, value } of mergeConcurrently(sources, deps.limits.concurrentSequencesMax)) {
    const event = { index: unfinished[sourceIndex]?.index ?? 0, value };
    count(event);
    journal?.note(event);
    yield event;
  }
}

function counterOf(meter: RequestMeter, servedBy: string): (event: Merged<TextEvent>) => void {
  const numSent = new Map<number, number>();
  return ({ index, value }) => {
    meter.answeredBy(servedBy);
    const numSentBefore = numSent.get(index) ?? 0;
    if (value.type === 'delta') {
      numSent.set(index, numSentBefore + value.tokens.length);
      meter.sentTokens(value.tokens.length);
    } else if (value.type === 'finish') {
      meter.finishedSequence(value.reason, value.usage.completionTokens - numSentBefore, value.usage.cachedTokens);
    }
  };
}
