/** Runs the sequences of a request on the ring and counts what comes. */
import { mergeConcurrently } from '../../generation/merge.ts';
import { generateText } from '../../generation/text-sequence.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import { createEngineClient } from '../../../shards/client/engine-client.ts';
import type { GenerationRouteDeps } from './generation-run.ts';
import type { AnswerEvents, RingPlan } from './plan.ts';

export async function* ringEvents(
  plan: RingPlan,
  meter: RequestMeter,
  signal: AbortSignal,
  deps: GenerationRouteDeps,
): AnswerEvents {
  const engine = createEngineClient(deps.replicas(plan.model.entry), deps.clock, deps.resumeLimits);
  const { tokenizer } = plan.model.text;
  const sources = plan.sequences.map(
    (spec) => () => generateText(engine, tokenizer, spec, signal, () => meter.resumed()),
  );
  const numSent = new Map<number, number>();
  meter.attempted(1);
  for await (const event of mergeConcurrently(sources, deps.limits.concurrentSequencesMax)) {
    const { index, value } = event;
    meter.answeredBy(`ring/${plan.model.entry.backend.model}`);
    const numSentBefore = numSent.get(index) ?? 0;
    if (value.type === 'delta') {
      numSent.set(index, numSentBefore + value.tokens.length);
      meter.sentTokens(value.tokens.length);
    } else if (value.type === 'finish') {
      meter.finishedSequence(value.reason, value.usage.completionTokens - numSentBefore, value.usage.cachedTokens);
    }
    yield event;
  }
}
