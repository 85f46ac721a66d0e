/** What a request to classify may ask for, with reasons. Each limit is tested at its value and one past it. */
import { CLASSIFY_LIMITS, type ClassifyLimits } from './limits.ts';

export interface ClassifyRequestLimits extends Pick<
  ClassifyLimits,
  'textBytesMax' | 'labelLengthMax' | 'nameLengthMax' | 'labelsMin' | 'labelsMax'
> {
  /** Texts of one request: some seconds of a head shard. */
  readonly inputsMax: number;
  /** Labels that come with a request. Each is a sequence of its own for every text. */
  readonly requestLabelsMax: number;
  /** Texts times labels, a text without each of its words counted too: at about 10 ms each, a minute of a ring. */
  readonly labelPairsMax: number;
  /** Examples of a label that come with a request; with more it is worth training a classifier. */
  readonly labelExamplesMax: number;
  readonly descriptionLengthMax: number;
  /** An explanation classifies the text once more for each of its words; the words after these are not looked at. */
  readonly explainedInputsMax: number;
  readonly explainedWordsMax: number;
  /** Texts of one request for which a large model is asked at a time. */
  readonly concurrentEscalationsMax: number;
}

export const CLASSIFY_REQUEST_LIMITS: ClassifyRequestLimits = {
  ...CLASSIFY_LIMITS,
  inputsMax: 256,
  requestLabelsMax: 64,
  labelPairsMax: 4096,
  labelExamplesMax: 32,
  descriptionLengthMax: 256,
  explainedInputsMax: 8,
  explainedWordsMax: 64,
  concurrentEscalationsMax: 4,
};
