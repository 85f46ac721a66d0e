/** `POST /v1/classify`: labels of texts, by a trained classifier or by the words of the labels. */
import type { Context } from 'hono';
import { mapConcurrently } from '../../classify/concurrently.ts';
import { escalate, type Escalated } from '../../classify/escalate.ts';
import { explainWords, type WordWeight } from '../../classify/explain-words.ts';
import { judgeTexts, type Judged } from '../../classify/judge-texts.ts';
import { judge, type Judgement, type JudgementRules } from '../../classify/judgement.ts';
import { CLASSIFY_REQUEST_LIMITS, type ClassifyRequestLimits } from '../../classify/request-limits.ts';
import type { GatewayEnv, RouteDeps } from '../../gateway.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import { isRingEntry, type CatalogEntry, type RingEntry } from '../../routing/catalog.ts';
import { badRequest } from '../openai/errors.ts';
import { unknownModel } from '../openai/models.ts';
import { parseClassifyRequest, type ClassifyRequest } from './classify-request.ts';
import { classificationBody, type AnsweredText } from './classify-wire.ts';
import { failureError } from './failures.ts';
import { judgeDepsOf } from './judge-deps.ts';
import { answerMetered, backendOf, type PreparedCall } from './metered-json.ts';

/** What judges the texts of a request, and who is asked about those that it has no label for. */
interface ClassifyJob {
  readonly tenant: string;
  readonly request: ClassifyRequest;
  readonly entry: RingEntry;
  readonly escalationEntry: CatalogEntry | null;
  readonly meter: RequestMeter;
  readonly limits: ClassifyRequestLimits;
}

export function answerClassify(context: Context<GatewayEnv>, deps: RouteDeps): Promise<Response> {
  const tenant = context.get('tenant');
  const limits = deps.classifyRequestLimits ?? CLASSIFY_REQUEST_LIMITS;
  const prepare = (body: unknown): PreparedCall => {
    const request = parseClassifyRequest(body, limits);
    const entry = entryOf(request, deps);
    const escalationEntry = request.escalation === 'pro' ? proEntry(deps) : null;
    return {
      entry,
      numTexts: request.texts.length,
      work: (meter, signal) => classify({ tenant, request, entry, escalationEntry, meter, limits }, signal, deps),
    };
  };
  return answerMetered(context, 'classify', prepare, deps);
}

/** @throws ApiError unless the model runs in the platform. */
function entryOf({ model }: ClassifyRequest, { catalog }: RouteDeps): RingEntry {
  const entry = model === null ? catalog.entries.find(isRingEntry) : catalog.find(model);
  if (entry === undefined) {
    throw unknownModel(catalog, model ?? '');
  }
  if (!isRingEntry(entry)) {
    const message = `The model '${entry.id}' runs elsewhere: texts are classified by one of the platform. Leave 'model' out.`;
    throw badRequest(message, 'model', 'unsupported_model');
  }
  return entry;
}

function proEntry({ catalog }: RouteDeps): CatalogEntry {
  const entry = catalog.entries.find(({ tier }) => tier === 'pro');
  if (entry === undefined) {
    throw badRequest("There is no model of the tier 'pro' here. Leave 'fallback' out.", 'fallback', 'model_not_found');
  }
  return entry;
}

async function classify(job: ClassifyJob, signal: AbortSignal, deps: RouteDeps): Promise<object> {
  const { tenant, request, entry, meter } = job;
  const { source, texts } = request;
  const judgeDeps = judgeDepsOf(entry, deps);
  const result = await judgeTexts(judgeDeps, tenant, source, texts, signal);
  if (!result.ok) {
    throw failureError(source.type === 'classifier' ? source.id : '', result.error);
  }
  const judged = result.value;
  meter.answeredBy(backendOf(entry));
  const rules = rulesOf(request, judged);
  const judgements = judged.scored.map((scored) => judge(scored, rules));
  const explained = await explainAll(job, judged, judgements, signal, deps);
  const escalated = await escalateAll(job, judged, judgements, signal, deps);
  const usage = usageOf(judged, explained, escalated);
  meter.routed({
    servedModel: entry.id,
    tier: entry.tier,
    fallbackReason: escalated.some((one) => one?.ok === true) ? 'abstained' : null,
    promptTokens: usage.promptTokens,
    isEstimated: false,
  });
  const answers = judgements.map((judgement, index): AnsweredText => ({
    judgement,
    servedBy: servedBy(judged, entry, escalated[index] ?? null, job.escalationEntry),
    escalated: escalated[index] ?? null,
    explanation: explained.weights[index] ?? null,
  }));
  const classifier =
    source.type === 'classifier' && judged.version !== null ? { id: source.id, version: judged.version } : null;
  const head = {
    id: `clsn-${deps.randomId()}`,
    created: Math.floor(deps.epochMs() / 1000),
    model: entry.id,
    classifier,
  };
  return classificationBody({ ...head, isMultiLabel: judged.isMultiLabel }, answers, usage);
}

function rulesOf(
  { topK, abstention, isMultiLabel: isMultiLabelAsked }: ClassifyRequest,
  { labels, isMultiLabel, outOfScopeThreshold }: Judged,
): JudgementRules {
  if (isMultiLabelAsked && !isMultiLabel) {
    const message = "This classifier gives one label to each text. Train one with 'multi_label' for several.";
    throw badRequest(message, 'multi_label', 'unsupported_parameter');
  }
  const { below, outOfScope } = abstention;
  return {
    labels: labels.map(({ name }) => name),
    isMultiLabel,
    topK,
    below,
    outOfScopeThreshold: outOfScope === 'own' ? outOfScopeThreshold : outOfScope,
  };
}

/** How much each word of each text counts, and what it took to tell. */
interface Explained {
  readonly weights: readonly WordWeight[][];
  readonly numTokens: number;
  readonly cachedTokens: number;
}

/** Classifies each text again for every word that it is asked to do without. */
async function explainAll(
  { tenant, request, entry, limits }: ClassifyJob,
  judged: Judged,
  judgements: readonly Judgement[],
  signal: AbortSignal,
  deps: RouteDeps,
): Promise<Explained> {
  if (!request.isExplained) {
    return { weights: [], numTokens: 0, cachedTokens: 0 };
  }
  const names = judged.labels.map(({ name }) => name);
  // The version that has judged explains itself, whatever the latest is by now.
  const source = request.source.type === 'classifier' ? { ...request.source, version: judged.version } : request.source;
  let numTokens = 0;
  let cachedTokens = 0;
  const weights: WordWeight[][] = [];
  for (const [index, text] of request.texts.entries()) {
    const best = judgements[index]?.scores[0];
    const label = names.indexOf(best?.label ?? '');
    const explained = await explainWords(text, best?.score ?? 0, limits.explainedWordsMax, async (variants) => {
      const again = await judgeTexts(judgeDepsOf(entry, deps), tenant, source, variants, signal);
      if (!again.ok) {
        throw failureError(source.type === 'classifier' ? source.id : '', again.error);
      }
      numTokens += again.value.numTokens;
      cachedTokens += again.value.cachedTokens;
      return again.value.scored.map(({ probabilities }) => probabilities[label] ?? 0);
    });
    weights.push(explained);
  }
  return { weights, numTokens, cachedTokens };
}

/** Asks a large model about the texts without a label, where the request says so. */
async function escalateAll(
  { tenant, request, escalationEntry, limits }: ClassifyJob,
  { labels }: Judged,
  judgements: readonly Judgement[],
  signal: AbortSignal,
  deps: RouteDeps,
): Promise<(Escalated | null)[]> {
  if (escalationEntry === null) {
    return judgements.map(() => null);
  }
  const { id: model } = escalationEntry;
  return mapConcurrently([...judgements.entries()], limits.concurrentEscalationsMax, async ([index, { reason }]) =>
    reason === null ? null : escalate(deps, { tenant, model, text: request.texts[index] ?? '', labels }, signal),
  );
}

function usageOf({ numTokens, cachedTokens }: Judged, explained: Explained, escalated: readonly (Escalated | null)[]) {
  const sum = (count: (one: Escalated) => number): number =>
    escalated.reduce((total, one) => total + (one === null ? 0 : count(one)), 0);
  return {
    promptTokens: numTokens + explained.numTokens + sum(({ promptTokens }) => promptTokens),
    cachedTokens: cachedTokens + explained.cachedTokens,
    completionTokens: sum(({ completionTokens }) => completionTokens),
  };
}

function servedBy(
  { method, layers }: Judged,
  entry: RingEntry,
  escalated: Escalated | null,
  escalationEntry: CatalogEntry | null,
): AnsweredText['servedBy'] {
  return escalated?.ok === true && escalationEntry !== null
    ? { method: 'escalated', backend: `origins/${escalationEntry.id}`, layers: null }
    : { method, backend: backendOf(entry), layers: layers ?? 'all' };
}
