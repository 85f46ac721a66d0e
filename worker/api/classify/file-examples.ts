/** Examples from a file that is read in pieces: CSV with a header, or a JSON object on each line. */
import Papa from 'papaparse/papaparse.min.js';
import type { ClassifyLimits } from '../../classify/limits.ts';
import { badRequest } from '../openai/errors.ts';
import type { RawExample } from './examples.ts';

export interface FileOptions {
  readonly format: 'csv' | 'jsonl';
  /** Names of the columns, or fields, of text and label. */
  readonly textColumn: string;
  readonly labelColumn: string;
  /** Between the labels of a cell, for multi-label classifiers; null where a cell is one label. */
  readonly labelSeparator: string | null;
}

/** A row without an end is none: no example has more characters than text, label and what quotes add. */
const ROW_CHARS_MAX = 256 * 1024;

/** @throws ApiError naming the line that is wrong. */
export async function* fileExamples(
  body: ReadableStream<Uint8Array>,
  options: FileOptions,
  limits: ClassifyLimits,
): AsyncGenerator<RawExample, void, undefined> {
  const texts = decodedPieces(body, limits.uploadBytesMax);
  yield* options.format === 'csv' ? csvExamples(texts, options) : jsonlExamples(texts, options);
}

/** Text of the pieces; a byte order mark is dropped. */
async function* decodedPieces(body: ReadableStream<Uint8Array>, bytesMax: number): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
  const reader = body.getReader();
  let numBytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      numBytes += value?.byteLength ?? 0;
      if (numBytes > bytesMax) {
        const message = `The file is larger than ${bytesMax} bytes. Send it in parts: create the classifier with one, add the others.`;
        throw badRequest(message, null, 'body_too_large', 413);
      }
      yield decode(decoder, value);
      if (done) {
        return;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function decode(decoder: TextDecoder, bytes: Uint8Array | undefined): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
  } catch {
    throw encodingError('The file is not valid UTF-8');
  }
}

function encodingError(what: string) {
  const message = `${what}. Save the file as UTF-8: spreadsheets call that "CSV UTF-8".`;
  return badRequest(message, null, 'invalid_encoding');
}

async function* csvExamples(texts: AsyncGenerator<string>, options: FileOptions): AsyncGenerator<RawExample> {
  let columns: CsvColumns | null = null;
  let lineNumber = 1;
  let held = '';
  let isLast = false;
  while (!isLast) {
    const piece = await texts.next();
    isLast = piece.done === true;
    held += piece.done === true ? '' : piece.value;
    // The separator is fixed: a guess could be wrong in some piece. The last row of a piece may go on in the next one.
    const parser = new Papa.Parser({ delimiter: ',' });
    const parsed = parser.parse(held, 0, !isLast) as Papa.ParseResult<string[]>;
    if (parsed.errors.length > 0) {
      if (columns === null) {
        refuseOtherFormat(held);
      }
      throw csvError(lineNumber, 'a quote does not end, or something follows it in its cell');
    }
    for (const row of parsed.data) {
      if (columns === null) {
        columns = findColumns(row, options);
      } else if (row.length > 1 || row[0] !== '') {
        yield csvExample(row, columns, lineNumber, options);
      }
      lineNumber += 1 + row.reduce((sum, cell) => sum + (cell.split('\n').length - 1), 0);
    }
    held = held.slice(parsed.meta.cursor);
    if (held.length > ROW_CHARS_MAX) {
      throw csvError(lineNumber, 'the row does not end: a quote may be missing');
    }
  }
  if (columns === null) {
    throw csvError(1, "the file is empty. It begins with a header, such as 'text,label'");
  }
}

interface CsvColumns {
  readonly text: number;
  readonly label: number;
  readonly count: number;
}

function findColumns(header: readonly string[], { textColumn, labelColumn }: FileOptions): CsvColumns {
  const names = header.map((name) => name.trim());
  const [text, label] = [names.indexOf(textColumn), names.indexOf(labelColumn)];
  if (text < 0 || label < 0) {
    const found = names
      .slice(0, 8)
      .map((name) => `'${name.slice(0, 32)}'`)
      .join(', ');
    const first = header.join(',');
    refuseOtherFormat(first);
    const message =
      `The first line must name the columns '${textColumn}' and '${labelColumn}', separated by commas; it has ${found}. ` +
      (separatorAdvice(first) ??
        "Add the line, or name the columns that there are with the parameters 'text_column' and 'label_column'.");
    throw badRequest(message, null, 'invalid_csv_header');
  }
  return { text, label, count: names.length };
}

/** Files that are no CSV at all, told by how they begin. */
function refuseOtherFormat(beginning: string): void {
  if (beginning.includes('\0')) {
    throw encodingError('The file looks like UTF-16');
  }
  if (/^\s*\{/.test(beginning)) {
    const message =
      "The file looks like JSON Lines. Send it with the content type 'application/jsonl', or name it .jsonl.";
    throw badRequest(message, null, 'invalid_csv');
  }
}

/** What other programs put between cells, or at the end of a line. */
function separatorAdvice(header: string): string | null {
  if (header.includes('\r')) {
    return 'Lines end with a carriage return alone: save the file with line feeds.';
  }
  const other = [';', '\t', '|'].find((separator) => header.includes(separator));
  return other === undefined
    ? null
    : `It seems to be separated by ${other === '\t' ? 'tabs' : `'${other}'`}: save the file with commas.`;
}

function csvExample(row: readonly string[], columns: CsvColumns, line: number, options: FileOptions): RawExample {
  if (row.length !== columns.count) {
    const what = `it has ${row.length} cells where the header has ${columns.count}. Put texts with commas into quotes`;
    throw csvError(line, what);
  }
  const label = row[columns.label] ?? '';
  const names = { text: options.textColumn, label: options.labelColumn };
  return { place: `line ${line}`, text: row[columns.text], labels: splitLabels(label, options), names };
}

function splitLabels(label: string, { labelSeparator }: FileOptions): unknown {
  if (labelSeparator === null) {
    return label;
  }
  return label.trim() === '' ? [] : label.split(labelSeparator);
}

function csvError(line: number, what: string) {
  return badRequest(`The CSV is wrong in line ${line}: ${what}.`, null, 'invalid_csv');
}

async function* jsonlExamples(texts: AsyncGenerator<string>, options: FileOptions): AsyncGenerator<RawExample> {
  let held = '';
  let lineNumber = 0;
  for await (const piece of texts) {
    const lines = (held + piece).split('\n');
    held = lines.pop() ?? '';
    for (const line of lines) {
      lineNumber += 1;
      yield* jsonlExample(line, lineNumber, options);
    }
    if (held.length > ROW_CHARS_MAX) {
      throw jsonlError(lineNumber + 1, 'the line does not end. Write each example on a line of its own');
    }
  }
  yield* jsonlExample(held, lineNumber + 1, options);
}

function* jsonlExample(line: string, lineNumber: number, options: FileOptions): Generator<RawExample> {
  if (line.trim() === '') {
    return;
  }
  const value = parseLine(line, lineNumber, options);
  const { [options.textColumn]: text, [options.labelColumn]: label } = value;
  const names = { text: options.textColumn, label: options.labelColumn };
  yield { place: `line ${lineNumber}`, text, labels: label ?? value['labels'], names };
}

function parseLine(
  line: string,
  lineNumber: number,
  { textColumn, labelColumn }: FileOptions,
): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Said below, as of anything else that is no object.
  }
  if (lineNumber === 1 && line.trimStart().startsWith('[')) {
    const list = 'it begins a list. Write each example as an object on a line of its own';
    throw jsonlError(lineNumber, `${list}, or send {"examples": [...]} as 'application/json'`);
  }
  const example = JSON.stringify({ [textColumn]: '...', [labelColumn]: '...' });
  throw jsonlError(lineNumber, `it is not a JSON object. Write each example on a line of its own, as ${example}`);
}

function jsonlError(line: number, what: string) {
  return badRequest(`The JSON Lines file is wrong in line ${line}: ${what}.`, null, 'invalid_jsonl');
}
