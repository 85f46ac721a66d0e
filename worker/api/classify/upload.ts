/** What a client uploads, in whichever form: a JSON body, a CSV or JSON Lines file, or a form with one. */
import * as z from 'zod';
import type { ClassifierKind } from '../../../shards/classify/targets.ts';
import type { ClassifyLimits } from '../../classify/limits.ts';
import { readJsonBody } from '../http/body.ts';
import { badRequest, type ApiError } from '../openai/errors.ts';
import { bodyError } from '../openai/request-body.ts';
import { boundedList, parseOrRefuse, wellFormedText } from '../openai/schema.ts';
import type { RawExample } from './examples.ts';
import { fileExamples, type FileOptions } from './file-examples.ts';

export interface Upload {
  /** Null where the request gives none. */
  readonly name: string | null;
  readonly isMultiLabel: boolean;
  readonly examples: AsyncIterable<RawExample>;
}

/** Files by their content type. */
const FILE_FORMATS: Readonly<Record<string, FileOptions['format']>> = {
  'text/csv': 'csv',
  'application/csv': 'csv',
  'application/jsonl': 'jsonl',
  'application/x-ndjson': 'jsonl',
  'application/x-jsonlines': 'jsonl',
};

const CONTENT_TYPES = "'application/json', 'text/csv', 'application/jsonl' or 'multipart/form-data'";

/** Between the labels of a CSV cell. */
const LABEL_SEPARATOR = '|';

/**
 * Reads the head of an upload; its examples are read as they are asked for.
 * @param known of the classifier that the examples are for; null where it is to be made
 * @throws ApiError
 */
export async function readUpload(
  request: Request,
  known: ClassifierKind | null,
  limits: ClassifyLimits,
): Promise<Upload> {
  const contentType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (contentType === 'application/json') {
    return readJson(request, known, limits);
  }
  const query = new URL(request.url).searchParams;
  const format = FILE_FORMATS[contentType];
  if (format !== undefined) {
    return fileUpload(request.body, format, Object.fromEntries(query), known, limits);
  }
  if (contentType === 'multipart/form-data') {
    return readForm(request, known, limits);
  }
  throw badRequest(`The body must be of the content type ${CONTENT_TYPES}.`, null, 'invalid_content_type', 415);
}

const jsonExample = z.strictObject({
  text: z.unknown().optional(),
  label: z.unknown().optional(),
  labels: z.unknown().optional(),
});

function jsonSchema(limits: ClassifyLimits) {
  return z.strictObject({
    name: wellFormedText.min(1).max(limits.nameLengthMax).optional(),
    examples: boundedList(jsonExample, 1, limits.examplesMax),
    options: z.strictObject({ multi_label: z.boolean().default(false) }).default({ multi_label: false }),
  });
}

/** More of what a classifier has: how it is called and what it is was said when it was made. */
function moreJsonSchema(limits: ClassifyLimits) {
  return jsonSchema(limits).pick({ examples: true });
}

async function readJson(request: Request, known: ClassifierKind | null, limits: ClassifyLimits): Promise<Upload> {
  const body = await readJsonBody(request, limits.jsonBytesMax);
  if (!body.ok) {
    throw body.error.reason === 'too_large' ? jsonTooLarge(limits) : bodyError(body.error);
  }
  if (known !== null) {
    const { examples } = parseOrRefuse(moreJsonSchema(limits), body.value);
    return { name: null, isMultiLabel: known === 'multi', examples: jsonExamples(examples) };
  }
  const { name, examples, options } = parseOrRefuse(jsonSchema(limits), body.value);
  return { name: name ?? null, isMultiLabel: options.multi_label, examples: jsonExamples(examples) };
}

async function* jsonExamples(examples: readonly z.infer<typeof jsonExample>[]): AsyncGenerator<RawExample> {
  for (const [index, { text, label, labels }] of examples.entries()) {
    yield { place: `examples[${index}]`, text, labels: label ?? labels };
  }
}

function jsonTooLarge({ jsonBytesMax, uploadBytesMax }: ClassifyLimits): ApiError {
  const message =
    `A JSON body may have ${jsonBytesMax} bytes. Send the examples as 'text/csv' or 'application/jsonl', ` +
    `which are read in pieces, up to ${uploadBytesMax} bytes.`;
  return badRequest(message, null, 'body_too_large', 413);
}

/** How a file is read: in the query, or beside it in a form. */
function columnSchema(limits: ClassifyLimits) {
  return z.strictObject({
    text_column: z.string().min(1).max(limits.nameLengthMax).default('text'),
    label_column: z.string().min(1).max(limits.nameLengthMax).default('label'),
  });
}

/** And what is made of it. */
function parameterSchema(limits: ClassifyLimits) {
  return columnSchema(limits).extend({
    name: wellFormedText.min(1).max(limits.nameLengthMax).optional(),
    multi_label: z.enum(['true', 'false']).default('false'),
  });
}

function fileUpload(
  body: ReadableStream<Uint8Array> | null,
  format: FileOptions['format'],
  given: Readonly<Record<string, string>>,
  known: ClassifierKind | null,
  limits: ClassifyLimits,
): Upload {
  const parameters =
    known === null
      ? parseOrRefuse(parameterSchema(limits), given)
      : { ...parseOrRefuse(columnSchema(limits), given), name: undefined, multi_label: String(known === 'multi') };
  const isMultiLabel = parameters.multi_label === 'true';
  const options = {
    format,
    textColumn: parameters.text_column,
    labelColumn: parameters.label_column,
    labelSeparator: isMultiLabel && format === 'csv' ? LABEL_SEPARATOR : null,
  };
  const stream = body ?? new Blob([]).stream();
  return { name: parameters.name ?? null, isMultiLabel, examples: fileExamples(stream, options, limits) };
}

/** A form is held as a whole: the runtime reads it so. */
async function readForm(request: Request, known: ClassifierKind | null, limits: ClassifyLimits): Promise<Upload> {
  const form = await readBoundedForm(request, limits.formBytesMax);
  const file = form.get('file');
  if (!(file instanceof File)) {
    throw badRequest(
      "The form has no file under the name 'file'. With curl: -F file=@examples.csv",
      'file',
      'invalid_value',
    );
  }
  const type = file.type.split(';')[0]?.trim().toLowerCase() ?? '';
  const format =
    FILE_FORMATS[type] ?? (/\.csv$/i.test(file.name) ? 'csv' : /\.(jsonl|ndjson)$/i.test(file.name) ? 'jsonl' : null);
  if (format === null) {
    throw badRequest(
      "The file must be CSV or JSON Lines, with a name that ends in '.csv' or '.jsonl'. Spreadsheets can be saved as CSV.",
      'file',
      'invalid_value',
    );
  }
  const fields = [...form.entries()].flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : []));
  return fileUpload(file.stream(), format, Object.fromEntries(fields) as Record<string, string>, known, limits);
}

async function readBoundedForm(request: Request, bytesMax: number): Promise<FormData> {
  let numBytes = 0;
  const bounded = request.body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        numBytes += piece.byteLength;
        if (numBytes > bytesMax) {
          controller.error(new Error('too large'));
          return;
        }
        controller.enqueue(piece);
      },
    }),
  );
  try {
    const headers = { 'content-type': request.headers.get('content-type') ?? '' };
    return await new Response(bounded ?? null, { headers }).formData();
  } catch {
    throw numBytes > bytesMax
      ? badRequest(
          `The form is larger than ${bytesMax} bytes. Send the file itself, as 'text/csv' or 'application/jsonl': it may be larger.`,
          null,
          'body_too_large',
          413,
        )
      : badRequest('The body is not a form of multipart/form-data.', null, 'invalid_form');
  }
}
