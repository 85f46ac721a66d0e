/** One example of an upload, checked: what is wrong with it is said with the place where it stands. */
import type { ClassifierKind } from '../../../shards/classify/targets.ts';
import type { Example } from '../../classify/classifier.ts';
import type { ClassifyLimits } from '../../classify/limits.ts';
import { badRequest } from '../openai/errors.ts';

/** Where an example stands, for messages: `examples[3]`, `line 12`. */
export interface RawExample {
  readonly place: string;
  readonly text: unknown;
  /** A label, or several of them. */
  readonly labels: unknown;
  /** What the fields are called there, where it is not `text` and `label`. */
  readonly names?: { readonly text: string; readonly label: string };
}

const encoder = new TextEncoder();

/** @throws ApiError for the first mistake. */
export function checkExample(raw: RawExample, kind: ClassifierKind, limits: ClassifyLimits): Example {
  return { text: checkText(raw, limits), labels: checkLabels(raw, kind, limits) };
}

function checkText({ place, text, names }: RawExample, { textBytesMax }: ClassifyLimits): string {
  const name = names?.text ?? 'text';
  if (typeof text !== 'string') {
    throw mistake(place, text === undefined ? `'${name}' is required` : `'${name}' must be a string`);
  }
  if (text.trim() === '') {
    throw mistake(place, 'the text is empty. Remove the example');
  }
  if (!text.isWellFormed()) {
    throw mistake(place, 'the text holds a lone surrogate (half of a UTF-16 pair), which is no character');
  }
  // A UTF-16 unit takes three bytes at most: most texts need no encoding to be known as short.
  if (text.length * 3 > textBytesMax && encoder.encode(text).length > textBytesMax) {
    const cut = 'It is not cut, since its label was given to the whole text: shorten or split it';
    throw mistake(place, `the text is longer than ${textBytesMax} bytes. ${cut}`);
  }
  return text;
}

function checkLabels({ place, labels, names }: RawExample, kind: ClassifierKind, limits: ClassifyLimits): string[] {
  if (labels === undefined || labels === null) {
    throw mistake(
      place,
      kind === 'single'
        ? `'${names?.label ?? 'label'}' is required`
        : `'${names?.label ?? 'labels'}' is required; an empty list is allowed`,
    );
  }
  const list: readonly unknown[] = Array.isArray(labels) ? labels : [labels];
  if (kind === 'single' && list.length !== 1) {
    throw mistake(place, "it must have exactly one label. Create the classifier with 'multi_label' for several");
  }
  if (list.length > limits.exampleLabelsMax) {
    throw mistake(place, `it has ${list.length} labels, of at most ${limits.exampleLabelsMax}`);
  }
  const checked = list.map((label) => {
    if (typeof label !== 'string' || label.trim() === '') {
      throw mistake(place, 'its label is empty, or not a string. Give it one, or remove the example');
    }
    if (label.length > limits.labelLengthMax || !label.isWellFormed()) {
      throw mistake(place, `a label must be well-formed and have at most ${limits.labelLengthMax} characters`);
    }
    return label.trim();
  });
  return [...new Set(checked)].sort();
}

function mistake(place: string, what: string) {
  return badRequest(
    `Invalid example at ${place}: ${what}.`,
    place.startsWith('line') ? null : place,
    'invalid_example',
  );
}
