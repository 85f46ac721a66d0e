/** Examples from a file on this machine: CSV with a header, or a JSON object on each line, as uploads are. */
import { access, constants, readFile } from 'node:fs/promises';
import path from 'node:path';
import Papa from 'papaparse';
import { messageOf, OperatorError } from '../support/operator-error.ts';

export interface FileExample {
  readonly text: string;
  /** Null where there is none. */
  readonly label: string | null;
}

export interface ColumnNames {
  readonly text: string;
  readonly label: string;
}

/** @returns the content type of an upload. @throws OperatorError for another kind of file. */
export function contentTypeOf(file: string): 'text/csv' | 'application/jsonl' {
  const extension = path.extname(file).toLowerCase();
  if (extension === '.csv') {
    return 'text/csv';
  }
  if (extension === '.jsonl' || extension === '.ndjson') {
    return 'application/jsonl';
  }
  throw new OperatorError('usage', `${file} is neither .csv nor .jsonl.`, 'Give a file of one of these kinds.');
}

/** @throws OperatorError when the file is not there, or not for us. */
export async function checkReadable(file: string): Promise<void> {
  await access(file, constants.R_OK).catch((error: unknown) => {
    throw unreadable(file, error);
  });
}

function unreadable(file: string, error: unknown): OperatorError {
  return new OperatorError('usage', `${file} cannot be read: ${messageOf(error)}.`);
}

/** @throws OperatorError naming the line that is wrong. */
export async function readExamples(file: string, columns: ColumnNames): Promise<FileExample[]> {
  const content = await readFile(file, 'utf8').catch((error: unknown) => {
    throw unreadable(file, error);
  });
  const text = content.replace(/^\uFEFF/, '');
  return contentTypeOf(file) === 'text/csv' ? fromCsv(text, file, columns) : fromJsonLines(text, file, columns);
}

function fromCsv(content: string, file: string, columns: ColumnNames): FileExample[] {
  const { data, errors, meta } = Papa.parse<Record<string, string>>(content, {
    header: true,
    delimiter: ',',
    skipEmptyLines: true,
  });
  const [error] = errors;
  if (error !== undefined) {
    throw new OperatorError('usage', `${file} is not valid CSV: ${error.message} (row ${error.row ?? 0}).`);
  }
  if (meta.fields?.includes(columns.text) !== true) {
    const found = (meta.fields ?? []).join(', ');
    const hint = 'Name its columns with --text-column and --label-column.';
    throw new OperatorError('usage', `${file} has no column '${columns.text}', but: ${found}.`, hint);
  }
  return data.map((row) => ({ text: row[columns.text] ?? '', label: emptyToNull(row[columns.label]) }));
}

function fromJsonLines(content: string, file: string, columns: ColumnNames): FileExample[] {
  return content.split('\n').flatMap((line, index) => {
    if (line.trim() === '') {
      return [];
    }
    const value = parseLine(line);
    const { [columns.text]: text, [columns.label]: label } = value ?? {};
    if (typeof text !== 'string') {
      throw new OperatorError('usage', `${file}, line ${index + 1}: expected an object with a text '${columns.text}'.`);
    }
    return [{ text, label: typeof label === 'string' ? emptyToNull(label) : null }];
  });
}

function parseLine(line: string): Record<string, unknown> | null {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
}

const emptyToNull = (label: string | undefined): string | null =>
  label === undefined || label.trim() === '' ? null : label.trim();
