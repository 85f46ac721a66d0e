/** The body of `POST /v1/classify`. */
import * as z from 'zod';
import type { LabelSource } from '../../classify/label-set.ts';
import { countVariants } from '../../classify/explain-words.ts';
import type { ClassifyRequestLimits } from '../../classify/request-limits.ts';
import { badRequest } from '../openai/errors.ts';
import { boundedList, oncePerLimits, parseOrRefuse, wellFormedText } from '../openai/schema.ts';
import { refuseUnsupported } from '../openai/unsupported.ts';
import { textSchema } from './text-schema.ts';

export const ESCALATIONS = ['none', 'pro'] as const;

/** When a text gets no label. Null leaves that reason out. */
export interface Abstention {
  /** Probability of the best label. */
  readonly below: number | null;
  /** How far out of scope a text may be, 0 to 1; `own` is the threshold that the training found. */
  readonly outOfScope: number | 'own' | null;
}

export interface ClassifyRequest {
  /** Null for the first model of the platform. */
  readonly model: string | null;
  readonly texts: readonly string[];
  readonly source: LabelSource;
  /** Labels in `scores`; null for all of them. */
  readonly topK: number | null;
  readonly isMultiLabel: boolean;
  readonly abstention: Abstention;
  readonly escalation: (typeof ESCALATIONS)[number];
  readonly isExplained: boolean;
}

const share = z.number().min(0).max(1);

function labelSchema(limits: ClassifyRequestLimits) {
  const name = wellFormedText.trim().min(1).max(limits.labelLengthMax);
  const description = wellFormedText.trim().min(1).max(limits.descriptionLengthMax);
  const examples = boundedList(textSchema(limits), 0, limits.labelExamplesMax);
  const full = z.strictObject({ name, description: description.optional(), examples: examples.optional() });
  return z.preprocess((value) => (typeof value === 'string' ? { name: value } : value), full);
}

const bodySchema = oncePerLimits((limits: ClassifyRequestLimits) => {
  const text = textSchema(limits);
  const texts = boundedList(text, 1, limits.inputsMax);
  return z.strictObject({
    model: wellFormedText.min(1).optional(),
    input: z.preprocess((value) => (typeof value === 'string' ? [value] : value), texts),
    classifier: wellFormedText.min(1).optional(),
    version: z.int().min(1).optional(),
    labels: boundedList(labelSchema(limits), limits.labelsMin, limits.requestLabelsMax).optional(),
    top_k: z.int().min(1).max(limits.labelsMax).optional(),
    multi_label: z.boolean().default(false),
    abstain: z
      .strictObject({ below: share.optional(), out_of_scope: z.union([share, z.literal(true)]).optional() })
      .default({}),
    fallback: z.enum(ESCALATIONS).default('none'),
    explain: z.boolean().default(false),
    user: wellFormedText.max(limits.nameLengthMax).optional(),
  });
});

/** @throws ApiError for the first mistake. */
export function parseClassifyRequest(body: unknown, limits: ClassifyRequestLimits): ClassifyRequest {
  const fields = parseOrRefuse(bodySchema(limits), refuseUnsupported(body, {}));
  const source = sourceOf(fields);
  const { below, out_of_scope: outOfScope } = fields.abstain;
  if (outOfScope !== undefined && source.type === 'labels') {
    throw badRequest(
      "'abstain.out_of_scope' needs a trained classifier: labels alone do not say what is outside of them. Use 'abstain.below'.",
      'abstain.out_of_scope',
      'unsupported_parameter',
    );
  }
  if (fields.fallback === 'pro' && below === undefined && outOfScope === undefined) {
    throw badRequest(
      "'fallback' is for texts that get no label: say in 'abstain' which those are.",
      'fallback',
      'invalid_value',
    );
  }
  if (source.type === 'labels') {
    checkLabelsRequest(fields.input, source.labels.length, fields, limits);
  }
  if (fields.explain && fields.input.length > limits.explainedInputsMax) {
    throw badRequest(
      `'explain' looks at every word by itself: send at most ${limits.explainedInputsMax} texts with it.`,
      'explain',
      'invalid_value',
    );
  }
  return {
    model: fields.model ?? null,
    texts: fields.input,
    source,
    topK: fields.top_k ?? null,
    isMultiLabel: fields.multi_label,
    abstention: { below: below ?? null, outOfScope: outOfScope === true ? 'own' : (outOfScope ?? null) },
    escalation: fields.fallback,
    isExplained: fields.explain,
  };
}

/** What labels without a classifier cannot do, or not so much of it. */
function checkLabelsRequest(
  texts: readonly string[],
  numLabels: number,
  { multi_label: isMultiLabel, explain: isExplained }: { readonly multi_label: boolean; readonly explain: boolean },
  { labelPairsMax, explainedWordsMax }: ClassifyRequestLimits,
): void {
  if (isMultiLabel) {
    throw badRequest(
      "'multi_label' needs a trained classifier: a label by itself is judged too badly. Create one with " +
        "POST /v1/classifiers and the option 'multi_label', from some ten texts of each label.",
      'multi_label',
      'unsupported_parameter',
    );
  }
  const numVariants = isExplained ? texts.reduce((sum, text) => sum + countVariants(text, explainedWordsMax), 0) : 0;
  const numPairs = (texts.length + numVariants) * numLabels;
  if (numPairs > labelPairsMax) {
    const counted = isExplained
      ? `${texts.length} texts, again without each of their ${numVariants} words,`
      : `${texts.length} texts`;
    const message = `${counted} with ${numLabels} labels are ${numPairs} pairs, of at most ${labelPairsMax}.`;
    const advice = `Send fewer texts${isExplained ? ", leave 'explain' out" : ''}, or train a classifier.`;
    throw badRequest(`${message} ${advice}`, 'input', 'too_many_pairs');
  }
}

function sourceOf(fields: z.infer<ReturnType<typeof bodySchema>>): LabelSource {
  const { classifier, version, labels } = fields;
  if ((classifier === undefined) === (labels === undefined)) {
    throw badRequest(
      "Give either 'classifier', the id of a trained one, or 'labels', with which the model judges by itself.",
      classifier === undefined ? 'labels' : 'classifier',
      'invalid_value',
    );
  }
  if (classifier !== undefined) {
    return { type: 'classifier', id: classifier, version: version ?? null };
  }
  if (version !== undefined) {
    throw badRequest("'version' is one of a classifier: labels have none.", 'version', 'invalid_value');
  }
  const specs = (labels ?? []).map(({ name, description, examples }) => ({
    name,
    description: description ?? null,
    examples: examples ?? [],
  }));
  const repeated = specs.find(({ name }, index) => specs.findIndex((other) => other.name === name) < index);
  if (repeated !== undefined) {
    throw badRequest(`The label '${repeated.name}' is there twice.`, 'labels', 'invalid_value');
  }
  return { type: 'labels', labels: specs };
}
