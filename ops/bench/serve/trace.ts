/** Traces of requests as others have published them: when each came, how long its prompt was, and its answer. */
import { OperatorError } from '../../support/operator-error.ts';

export interface TraceRequest {
  /** After the first request. */
  readonly arrivalMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

export interface TraceScale {
  /** Requests from the start of the trace. */
  readonly requestsMax: number;
  /** Time between the first and the last arrival after scaling. */
  readonly spanMs: number;
  /** The longest prompt after scaling; every length is multiplied by the same factor, and never stretched. */
  readonly promptTokensMax: number;
}

/** Microsoft's Azure LLM inference traces. */
const AZURE_HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';

function invalid(what: string): OperatorError {
  const hint = `Use a CSV file with the columns ${AZURE_HEADER}, or JSON Lines with timestamp, input_length, output_length.`;
  return new OperatorError('usage', `The trace cannot be used: ${what}.`, hint);
}

function azureRow(line: string, index: number): TraceRequest {
  const [time = '', prompt, output] = line.split(',');
  // Seven decimals of a second, no zone: the zone does not matter, since only differences do.
  const arrivalMs = Date.parse(`${time.replace(' ', 'T').replace(/(\.\d{3})\d*$/, '$1')}Z`);
  return checked({ arrivalMs, promptTokens: Number(prompt), outputTokens: Number(output) }, index);
}

function mooncakeRow(line: string, index: number): TraceRequest {
  let row: Partial<Record<'timestamp' | 'input_length' | 'output_length', number>>;
  try {
    row = JSON.parse(line) as typeof row;
  } catch {
    throw invalid(`request ${index + 1} is not JSON`);
  }
  return checked(
    {
      arrivalMs: row.timestamp ?? Number.NaN,
      promptTokens: row.input_length ?? Number.NaN,
      outputTokens: row.output_length ?? Number.NaN,
    },
    index,
  );
}

function checked(request: TraceRequest, index: number): TraceRequest {
  const { arrivalMs, promptTokens, outputTokens } = request;
  if (![arrivalMs, promptTokens, outputTokens].every((value) => Number.isFinite(value)) || promptTokens < 0) {
    throw invalid(`request ${index + 1} lacks a time or a length`);
  }
  return request;
}

/**
 * Reads either format, told apart by the first character.
 * @param requestsMax the rest of the file is not looked at.
 */
export function parseTrace(text: string, requestsMax: number): TraceRequest[] {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  const isJson = lines[0]?.startsWith('{') ?? false;
  if (!isJson && lines.shift() !== AZURE_HEADER) {
    throw invalid('its first line is neither a JSON object nor the header of an Azure trace');
  }
  const requests = lines.slice(0, requestsMax).map(isJson ? mooncakeRow : azureRow);
  if (requests.length === 0) {
    throw invalid('it has no request');
  }
  return requests;
}

/** Arrivals fill `spanMs`; lengths shrink by one factor until the longest prompt fits, and stay at least 1. */
export function scaleTrace(requests: readonly TraceRequest[], scale: TraceScale): TraceRequest[] {
  const chosen = requests.slice(0, scale.requestsMax).toSorted((a, b) => a.arrivalMs - b.arrivalMs);
  const firstMs = chosen[0]?.arrivalMs ?? 0;
  const spanMs = (chosen.at(-1)?.arrivalMs ?? 0) - firstMs;
  const timeFactor = spanMs === 0 ? 0 : scale.spanMs / spanMs;
  const longest = Math.max(1, ...chosen.map((request) => request.promptTokens));
  const lengthFactor = Math.min(1, scale.promptTokensMax / longest);
  const length = (tokens: number): number => Math.max(1, Math.round(tokens * lengthFactor));
  return chosen.map(({ arrivalMs, promptTokens, outputTokens }) => ({
    arrivalMs: (arrivalMs - firstMs) * timeFactor,
    promptTokens: length(promptTokens),
    outputTokens: length(outputTokens),
  }));
}
