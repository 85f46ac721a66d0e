import { describe, expect, it } from 'vitest';
import { parseTrace, scaleTrace } from '../serve/trace.ts';

const AZURE = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2225670,879,55
`;
const MOONCAKE = [
  { timestamp: 0, input_length: 6758, output_length: 500, hash_ids: [0, 1] },
  { timestamp: 3000, input_length: 7322, output_length: 490, hash_ids: [0, 14] },
]
  .map((row) => JSON.stringify(row))
  .join('\n');

describe('parseTrace', () => {
  it('reads Azure CSV, with Windows line ends too', () => {
    for (const text of [AZURE, AZURE.replaceAll('\n', '\r\n')]) {
      const requests = parseTrace(text, 10);
      expect(requests.map(({ promptTokens, outputTokens }) => [promptTokens, outputTokens])).toEqual([
        [374, 44],
        [396, 109],
        [879, 55],
      ]);
      expect((requests[1]?.arrivalMs ?? 0) - (requests[0]?.arrivalMs ?? 0)).toBe(4315);
    }
  });

  it('reads Mooncake JSON Lines', () => {
    expect(parseTrace(MOONCAKE, 10)).toEqual([
      { arrivalMs: 0, promptTokens: 6758, outputTokens: 500 },
      { arrivalMs: 3000, promptTokens: 7322, outputTokens: 490 },
    ]);
  });

  it('looks at no more requests than it is asked for', () => {
    expect(parseTrace(`${AZURE}nonsense\n`, 3)).toHaveLength(3);
    expect(() => parseTrace(`${AZURE}nonsense\n`, 4)).toThrow('request 4 lacks a time or a length');
  });

  it.each([
    ['', 'first line'],
    ['a,b,c\n1,2,3\n', 'first line'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\n', 'no request'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n', 'request 1'],
    ['{"timestamp": 0, "input_length": 5}\n', 'request 1'],
    ['{"timestamp": 0,\n', 'request 1 is not JSON'],
  ])('says what is wrong with %j', (text, message) => {
    expect(() => parseTrace(text, 10)).toThrow(message);
  });
});

describe('scaleTrace', () => {
  const requests = parseTrace(AZURE, 10);

  it('squeezes arrivals and lengths, by one factor each', () => {
    const scaled = scaleTrace(requests, { requestsMax: 10, spanMs: 1000, promptTokensMax: 88 });
    expect(scaled[0]).toEqual({ arrivalMs: 0, promptTokens: 37, outputTokens: 4 });
    expect(scaled[1]?.arrivalMs).toBeCloseTo(950, 0);
    expect(scaled[2]).toEqual({ arrivalMs: 1000, promptTokens: 88, outputTokens: 6 });
  });

  it('never makes a prompt longer, and no length 0', () => {
    const long = scaleTrace(requests, { requestsMax: 10, spanMs: 1000, promptTokensMax: 100_000 });
    expect(long.map((request) => request.promptTokens)).toEqual([374, 396, 879]);
    const short = scaleTrace(requests, { requestsMax: 10, spanMs: 1000, promptTokensMax: 1 });
    expect(short.every(({ promptTokens, outputTokens }) => promptTokens >= 0 && outputTokens >= 1)).toBe(true);
    expect(Math.min(...short.map((request) => request.promptTokens))).toBe(1);
  });

  it('takes a single request', () => {
    const scaled = scaleTrace(requests, { requestsMax: 1, spanMs: 1000, promptTokensMax: 500 });
    expect(scaled).toEqual([{ arrivalMs: 0, promptTokens: 374, outputTokens: 44 }]);
  });
});
