/**
 * Examples as people have them: CSV, JSON Lines, or lines of text, Tab and label.
 * @module
 */

/** Between the labels of one text, as in CSV uploads. */
const LABEL_SEPARATOR = '|';

/** What the formats are called, and sent as. Tab lines become JSON Lines. */
export const FORMATS = {
  csv: { name: 'CSV', contentType: 'text/csv', file: 'examples.csv' },
  jsonl: { name: 'JSON Lines', contentType: 'application/jsonl', file: 'examples.jsonl' },
  tab: { name: 'lines of text, Tab, label', contentType: 'application/jsonl', file: 'examples.jsonl' },
};

/**
 * Told by the first line that is not empty.
 * @param {string} text the beginning is enough
 * @returns {'csv' | 'jsonl' | 'tab' | null} null when there is no line
 */
export function formatOf(text) {
  const first = /\S[^\n]*/.exec(text)?.[0];
  if (first === undefined) {
    return null;
  }
  if (first.startsWith('{')) {
    return 'jsonl';
  }
  return first.includes('\t') ? 'tab' : 'csv';
}

/**
 * Each line stays on its own line, so that the API names lines as the user sees them.
 * @param {string} text
 * @param {boolean} isMultiLabel
 * @returns {string}
 * @throws {Error} naming the first line without a Tab
 */
export function tabToJsonLines(text, isMultiLabel) {
  return text
    .split(/\r?\n/)
    .map((line, index) => {
      const isHeader = index === 0 && line === 'text\tlabel';
      if (line.trim() === '' || isHeader) {
        return '';
      }
      const tab = line.lastIndexOf('\t');
      if (tab < 0) {
        throw new Error(`Line ${index + 1} has no Tab between text and label.`);
      }
      const label = line.slice(tab + 1).trim();
      const labels = label === '' ? [] : label.split(LABEL_SEPARATOR);
      return JSON.stringify({ text: line.slice(0, tab), ...(isMultiLabel ? { labels } : { label }) });
    })
    .join('\n');
}

/**
 * Where a line stands in a text, as a selection has it.
 * @param {string} text
 * @param {number} line from 1
 * @returns {{ start: number, end: number } | null} null when there is no such line
 */
export function lineRange(text, line) {
  const lines = text.split('\n');
  if (line < 1 || line > lines.length) {
    return null;
  }
  const start = lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, 0);
  return { start, end: start + lines[line - 1].length };
}
