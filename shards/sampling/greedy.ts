import type { SamplingParams } from '../engine/protocol.ts';

/** The most likely token each time, and whatever has to be given where nothing is sampled at all. */
export const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 1,
};
