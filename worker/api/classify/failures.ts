/** What clients of classifiers are told when something is not as they think. */
import type { ClassifyFailure } from '../../classify/classify-texts.ts';
import { badRequest, type ApiError } from '../openai/errors.ts';

/** Ids in errors come from the client; a long one is cut. */
const ID_LENGTH_MAX = 64;

export function unknownClassifier(id: string): ApiError {
  const shown = id.slice(0, ID_LENGTH_MAX).toWellFormed();
  const message = `There is no classifier '${shown}'. GET /v1/classifiers lists those that there are.`;
  return badRequest(message, 'classifier', 'classifier_not_found', 404);
}

type Reason = ClassifyFailure['reason'];
type FailureOf<R extends Reason> = Extract<ClassifyFailure, { readonly reason: R }>;

const conflict = (message: string, code: string): ApiError => badRequest(message, 'classifier', code, 409);

/** A reason that is added does not compile until it is here. */
const ERRORS: { readonly [R in Reason]: (id: string, failure: FailureOf<R>) => ApiError } = {
  unknown: unknownClassifier,
  unknown_version: (id, { versions }) => {
    const known = versions.length === 0 ? 'It has none yet' : `It has: ${versions.join(', ')}`;
    const message = `The classifier '${id}' has no such version. ${known}.`;
    return badRequest(message, 'version', 'version_not_found', 404);
  },
  not_ready: (id, { status, error }) =>
    error === null
      ? conflict(
          `The classifier '${id}' has not been trained yet (${status}). Wait until its status is 'ready'.`,
          'classifier_not_ready',
        )
      : conflict(`The training of the classifier '${id}' failed: ${error}`, 'training_failed'),
  too_many_examples: (_id, { numExamplesMax }) =>
    badRequest(
      `A classifier may have ${numExamplesMax} examples, and this upload brings more. None of it was kept: send fewer.`,
      'examples',
      'too_many_examples',
    ),
  too_few_labels: (_id, { labels, numLabelsMin }) => {
    const found = labels.map((label) => `'${label}'`).join(', ') || 'none';
    const message = `A classifier needs at least ${numLabelsMin} different labels; the examples have: ${found}. Add examples of another.`;
    return badRequest(message, 'examples', 'too_few_labels');
  },
  too_many_labels: (_id, { numLabels, numLabelsMax }) =>
    badRequest(
      `A classifier may have ${numLabelsMax} different labels; the examples have ${numLabels}. Join some of them, or train several classifiers.`,
      'examples',
      'too_many_labels',
    ),
  no_examples: () => badRequest('There are no examples in the upload. Send at least one.', 'examples', 'no_examples'),
  in_training: (id) =>
    conflict(`The classifier '${id}' is being trained. Wait until that is over, then train again.`, 'in_training'),
  uploading: (id) =>
    conflict(`Another upload to the classifier '${id}' is under way. Wait until it is over.`, 'upload_in_progress'),
  other_features: (id, { featureRecipe }) =>
    conflict(
      `The classifier '${id}' was trained on the features '${featureRecipe}', which are not computed here. Train it again.`,
      'other_features',
    ),
};

/** How each failure looks from outside. */
export function failureError<R extends Reason>(id: string, failure: FailureOf<R>): ApiError {
  const toError: (id: string, failure: FailureOf<R>) => ApiError = ERRORS[failure.reason];
  return toError(id, failure);
}
