/** Features over heads that break, refuse and are full: scripted streams and a clock that is wound by hand. */
import { describe, expect, it } from 'vitest';
import { ManualClock, settled } from '../../../ops/testing/manual-clock.ts';
import { encodeFeatureFrame, encodeFeatureSize, type FeatureFrame } from '../../features/feature-frames.ts';
import type { FeatureAnswer, FeatureFailure, FeatureHead, FeatureRequest } from '../../features/feature-protocol.ts';
import { featureRequest } from '../../features/test/support.ts';
import { AbortedError } from '../abort.ts';
import { extractFeatures, FEATURE_RETRY_LIMITS, FeatureError, type FeatureMatrix } from '../feature-client.ts';

const TEXTS = [[3], [4, 5], [6, 7, 8]];
/** As heads are asked for them. */
const LONGEST_FIRST = TEXTS.toReversed();

/** The row of a text says which text it is. */
function rowFrame(request: FeatureRequest, textIndex: number): FeatureFrame {
  const tokens = request.texts[textIndex] ?? [];
  return { kind: 'row', textIndex, features: Float32Array.of(tokens.length, tokens[0] ?? -1) };
}

type Script = (request: FeatureRequest) => (FeatureFrame | 'break' | 'hang')[];

const answers: Script = (request) => [
  ...request.texts.map((_, index) => rowFrame(request, request.texts.length - 1 - index)),
  { kind: 'end', numTokens: 1 },
];
const fails =
  (overrides: Partial<FeatureFailure>): Script =>
  () => [{ kind: 'error', failure: { code: 'internal', message: 'scripted', retryable: true, ...overrides } }];
const full = fails({ code: 'queue_full' });

class ScriptedFeatureHead implements FeatureHead {
  readonly requests: FeatureRequest[] = [];
  /** Whether answers that do not break or hang come in one piece. */
  isInPieces = false;
  isCancelled = false;
  readonly #scripts: readonly Script[];

  constructor(...scripts: Script[]) {
    this.#scripts = scripts;
  }

  extractFeatures(request: FeatureRequest): Promise<FeatureAnswer> {
    const script = this.#scripts[Math.min(this.requests.length, this.#scripts.length - 1)] ?? answers;
    this.requests.push(request);
    const pieces = script(request);
    if (this.isInPieces && request.isPieceTaken === true) {
      const frames = pieces.filter((piece) => typeof piece !== 'string').map(encodeFeatureFrame);
      const bytes = [encodeFeatureSize(2), ...frames].flatMap((frame) => [...frame]);
      return Promise.resolve(Uint8Array.from(bytes));
    }
    return Promise.resolve(
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(encodeFeatureSize(2)),
        pull: (controller) => {
          const piece = pieces.shift();
          if (piece === undefined) {
            controller.close();
          } else if (piece === 'break') {
            controller.error(new Error('the object was reset'));
          } else if (piece === 'hang') {
            return new Promise(() => {});
          } else {
            controller.enqueue(encodeFeatureFrame(piece));
          }
          return undefined;
        },
        cancel: () => void (this.isCancelled = true),
      }),
    );
  }
}

function run(...heads: [ScriptedFeatureHead, ...ScriptedFeatureHead[]]) {
  const clock = new ManualClock();
  const aborting = new AbortController();
  const request = featureRequest({ texts: TEXTS });
  const outcome: { value: FeatureMatrix | Error | null } = { value: null };
  void extractFeatures(request, { heads, clock, signal: aborting.signal }).then(
    (matrix) => (outcome.value = matrix),
    (error: Error) => (outcome.value = error),
  );
  return { clock, aborting, outcome };
}

const expected = { features: Float32Array.of(1, 3, 2, 4, 3, 6), featureSize: 2, numTokens: 6 };

describe('features from a head', () => {
  it('come in the order of the texts', async () => {
    const { outcome } = run(new ScriptedFeatureHead(answers));
    await settled();
    expect(outcome.value).toEqual(expected);
  });

  it('come in one piece, which is asked for again where it is not whole', async () => {
    const head = new ScriptedFeatureHead((request) => [rowFrame(request, 1)], fails({}), answers);
    head.isInPieces = true;
    const { clock, outcome } = run(head);
    await settled();
    await clock.wind(FEATURE_RETRY_LIMITS.firstDelayMs);
    expect(outcome.value).toBeNull();
    await clock.wind(2 * FEATURE_RETRY_LIMITS.firstDelayMs);
    expect(outcome.value).toEqual(expected);
    expect(head.requests.map(({ texts }) => texts)).toEqual([LONGEST_FIRST, [[6, 7, 8], [3]], [[6, 7, 8], [3]]]);
  });

  it.each(['break', 'end'] as const)('are asked for again where rows are missing (%s)', async (how) => {
    const head = new ScriptedFeatureHead(
      (request) => [rowFrame(request, 1), ...(how === 'break' ? (['break'] as const) : [])],
      answers,
    );
    const { clock, outcome } = run(head);
    await settled();
    expect(outcome.value).toBeNull();
    await clock.wind(FEATURE_RETRY_LIMITS.firstDelayMs);
    expect(outcome.value).toEqual(expected);
    expect(head.requests.map(({ texts }) => texts)).toEqual([LONGEST_FIRST, [TEXTS[2], TEXTS[0]]]);
  });

  it('are given up after so many attempts', async () => {
    const head = new ScriptedFeatureHead(() => ['break']);
    const { clock, outcome } = run(head);
    await settled();
    for (let attempt = 1; attempt < FEATURE_RETRY_LIMITS.attemptsMax; attempt++) {
      expect(outcome.value).toBeNull();
      await clock.wind(FEATURE_RETRY_LIMITS.firstDelayMs * 2 ** (attempt - 1));
    }
    expect(outcome.value).toBeInstanceOf(FeatureError);
    expect(outcome.value).toMatchObject({ code: 'ring_failed', retryable: true });
    expect(head.requests).toHaveLength(FEATURE_RETRY_LIMITS.attemptsMax);
  });

  it('that are refused are not asked for again', async () => {
    const head = new ScriptedFeatureHead(fails({ code: 'invalid_request', retryable: false }));
    const { outcome } = run(head);
    await settled();
    expect(outcome.value).toMatchObject({ code: 'invalid_request', retryable: false });
    expect(head.requests).toHaveLength(1);
  });

  it('come from another replica when the first is full, and are refused when all are', async () => {
    const first = run(new ScriptedFeatureHead(full), new ScriptedFeatureHead(answers));
    await first.clock.wind(0);
    expect(first.outcome.value).toEqual(expected);
    const heads = [new ScriptedFeatureHead(full), new ScriptedFeatureHead(full)] as const;
    const second = run(...heads);
    await second.clock.wind(0);
    expect(second.outcome.value).toMatchObject({ code: 'queue_full', retryable: true });
    expect(heads.map(({ requests }) => requests.length)).toEqual([1, 1]);
  });

  it('are cancelled when the client goes', async () => {
    const head = new ScriptedFeatureHead((request) => [rowFrame(request, 0), 'hang']);
    const { aborting, outcome } = run(head);
    await settled();
    aborting.abort();
    await settled();
    expect(outcome.value).toBeInstanceOf(AbortedError);
    expect(head.isCancelled).toBe(true);
  });
});
