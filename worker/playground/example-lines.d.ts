/** Types of `example-lines.js`, which browsers load as it is. */
export function formatOf(text: string): 'csv' | 'jsonl' | 'tab' | null;
export function tabToJsonLines(text: string, isMultiLabel: boolean): string;
export function lineRange(text: string, line: number): { readonly start: number; readonly end: number } | null;
