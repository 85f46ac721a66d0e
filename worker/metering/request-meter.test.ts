/** What an answer costs, by how it ended. */
import { expect, it } from 'vitest';
import { systemClock } from '../../shards/platform/system.ts';
import { RequestMeter } from './request-meter.ts';
import type { ServedOutcome, ServedRecord } from './served-record.ts';

/** The record of a pro request of 10 prompt tokens that generated 5 tokens and then ended so. */
function recordOf(isStream: boolean, outcome: ServedOutcome): ServedRecord | undefined {
  const records: ServedRecord[] = [];
  const meter = new RequestMeter({ record: (record) => records.push(record) }, systemClock, {
    requestId: 'r',
    tenant: 't',
    surface: 'chat.completions',
    startedAtMs: 0,
  });
  meter.requested({ model: 'lamina-pro', isStream, numChoices: 1 });
  meter.routed({ servedModel: 'lamina-pro', tier: 'pro', promptTokens: 10, isEstimated: false, fallbackReason: null });
  meter.sentTokens(5);
  meter.end(outcome);
  return records[0];
}

it.each<[isStream: boolean, outcome: ServedOutcome, isPaid: boolean]>([
  [true, 'completed', true],
  [false, 'completed', true],
  [true, 'failed', true],
  // Nothing of it reached the client.
  [false, 'failed', false],
  [true, 'client_gone', true],
  [false, 'client_gone', true],
])('charges what was sent: stream %s, %s: %s', (isStream, outcome, isPaid) => {
  const record = recordOf(isStream, outcome);
  expect(record?.completionTokens).toBe(5);
  expect(record?.costCny).toBeCloseTo(isPaid ? 0.000_15 : 0, 12);
});
