/**
 * Classification in others' words: `POST /v1/moderations` as OpenAI has it, and `POST /classify` as vLLM and SGLang have it,
 * with the id of a classifier as the model.
 */
import type { Context } from 'hono';
import * as z from 'zod';
import { judge, type Judgement } from '../../classify/judgement.ts';
import { judgeTexts, type Judged } from '../../classify/judge-texts.ts';
import type { LabelSource } from '../../classify/label-set.ts';
import { moderate } from '../../classify/moderation.ts';
import { CLASSIFY_REQUEST_LIMITS, type ClassifyRequestLimits } from '../../classify/request-limits.ts';
import type { GatewayEnv, RouteDeps } from '../../gateway.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import { isRingEntry, type RingEntry } from '../../routing/catalog.ts';
import { badRequest } from '../openai/errors.ts';
import { boundedList, oncePerLimits, parseOrRefuse, wellFormedText } from '../openai/schema.ts';
import { refuseUnsupported } from '../openai/unsupported.ts';
import { failureError } from './failures.ts';
import { judgeDepsOf } from './judge-deps.ts';
import { answerMetered, backendOf } from './metered-json.ts';
import { textSchema } from './text-schema.ts';

/** Texts, and the classifier that judges them. */
interface ThinJob {
  readonly tenant: string;
  readonly source: Extract<LabelSource, { type: 'classifier' }>;
  readonly texts: readonly string[];
}

export function answerModerations(context: Context<GatewayEnv>, deps: RouteDeps): Promise<Response> {
  const limits = deps.classifyRequestLimits ?? CLASSIFY_REQUEST_LIMITS;
  const prepare = (body: unknown) => {
    const { input, model } = parseOrRefuse(moderationsSchema(limits), refuseUnsupported(body, {}));
    const { moderation } = deps;
    if (moderation === null) {
      const message = 'No classifier is named for moderation here. The operator names one in the variable MODERATION.';
      throw badRequest(message, null, 'moderation_not_configured', 404);
    }
    const { tenant, classifier, version = null, safe_labels: safeLabels } = moderation;
    const job: ThinJob = { tenant, source: { type: 'classifier', id: classifier, version }, texts: input };
    const entry = firstRing(deps);
    return {
      entry,
      numTexts: input.length,
      work: async (meter: RequestMeter, signal: AbortSignal) => {
        const { judgements } = await run(job, entry, meter, signal, deps);
        const results = judgements.map((judgement) => {
          const { isFlagged, flags, scores } = moderate(judgement, safeLabels);
          return { flagged: isFlagged, categories: flags, category_scores: scores };
        });
        return { id: `modr-${deps.randomId()}`, model: model ?? classifier, results };
      },
    };
  };
  return answerMetered(context, 'moderations', prepare, deps);
}

export function answerPooledClassify(context: Context<GatewayEnv>, deps: RouteDeps): Promise<Response> {
  const limits = deps.classifyRequestLimits ?? CLASSIFY_REQUEST_LIMITS;
  const tenant = context.get('tenant');
  const prepare = (body: unknown) => {
    const { input, model: id } = parseOrRefuse(pooledSchema(limits), refuseUnsupported(body, {}));
    const entry = firstRing(deps);
    return {
      entry,
      numTexts: input.length,
      work: async (meter: RequestMeter, signal: AbortSignal) => {
        const source = { type: 'classifier', id, version: null } as const;
        const { judged, judgements } = await run({ tenant, source, texts: input }, entry, meter, signal, deps);
        return pooledBody(id, judged, judgements, deps);
      },
    };
  };
  return answerMetered(context, 'classify', prepare, deps);
}

function inputSchema(limits: ClassifyRequestLimits) {
  const texts = boundedList(textSchema(limits), 1, limits.inputsMax);
  return z.preprocess((value) => (typeof value === 'string' ? [value] : value), texts);
}

const moderationsSchema = oncePerLimits((limits: ClassifyRequestLimits) =>
  z.strictObject({
    input: inputSchema(limits),
    model: wellFormedText.min(1).max(limits.nameLengthMax).optional(),
  }),
);

const pooledSchema = oncePerLimits((limits: ClassifyRequestLimits) =>
  z.strictObject({
    model: wellFormedText.min(1),
    input: inputSchema(limits),
    user: wellFormedText.max(limits.nameLengthMax).optional(),
  }),
);

function firstRing({ catalog }: RouteDeps): RingEntry {
  const entry = catalog.entries.find(isRingEntry);
  if (entry === undefined) {
    throw badRequest('No model runs in this platform that could classify.', 'model', 'model_not_found', 404);
  }
  return entry;
}

async function run(
  { tenant, source, texts }: ThinJob,
  entry: RingEntry,
  meter: RequestMeter,
  signal: AbortSignal,
  deps: RouteDeps,
): Promise<{ readonly judged: Judged; readonly judgements: readonly Judgement[] }> {
  const result = await judgeTexts(judgeDepsOf(entry, deps), tenant, source, texts, signal);
  if (!result.ok) {
    throw failureError(source.id, result.error);
  }
  const judged = result.value;
  meter.answeredBy(backendOf(entry));
  const { id: servedModel, tier } = entry;
  meter.routed({ servedModel, tier, fallbackReason: null, promptTokens: judged.numTokens, isEstimated: false });
  const { labels, isMultiLabel, scored } = judged;
  const rules = {
    labels: labels.map(({ name }) => name),
    isMultiLabel,
    topK: null,
    below: null,
    outOfScopeThreshold: null,
  };
  return { judged, judgements: scored.map((one) => judge(one, rules)) };
}

/** `probs` are in the order of the classifier's labels, as a model's are in the order of its classes. */
function pooledBody(model: string, judged: Judged, judgements: readonly Judgement[], deps: RouteDeps): object {
  const { scored, labels, numTokens } = judged;
  return {
    id: `classify-${deps.randomId()}`,
    object: 'list',
    created: Math.floor(deps.epochMs() / 1000),
    model,
    data: scored.map(({ probabilities }, index) => ({
      index,
      label: judgements[index]?.scores[0]?.label ?? null,
      probs: Array.from(probabilities),
      num_classes: labels.length,
    })),
    usage: { prompt_tokens: numTokens, total_tokens: numTokens, completion_tokens: 0, prompt_tokens_details: null },
  };
}
