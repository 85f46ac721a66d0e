/** `lamina dev --origin URL …`: origins that the local gateway reaches by plain URLs. */
import { ORIGINS_MAX, parseOrigins } from '../../worker/origin/origin-config.ts';
import { PUBLIC_MODELS } from '../../worker/routing/tiers.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type Progress, runStep } from '../support/progress.ts';
import type { AttachedOrigins } from './attached-origins.ts';
import { type DescribedModel, type DescribedOrigin, describeOrigin, rootUrl } from './describe-origin.ts';

/** Flags that may be repeated; the n-th key and model name belong to the n-th URL, a single one to all of them. */
export interface OriginFlags {
  readonly origin?: readonly string[];
  readonly originKey?: readonly string[];
  readonly originModel?: readonly string[];
}

/** GLM-4 of April 2025 writes its tool calls as text that no engine's parser reads. */
const TOOL_CALL_TEXT_MODEL = /glm-4-(9|32)b-0414/i;
/** GLM-Z1 thinks aloud up to a `</think>`; its chat template has written the `<think>`. */
const THINK_TAGS_MODEL = /glm-z1/i;

/** Name of the variable that holds the key of the n-th origin. */
function keyName(index: number): string {
  return `ORIGIN_${index + 1}_KEY`;
}

/** The n-th value of a flag, the only one, or none. */
function valueFor(flag: string, values: readonly string[], index: number, numOrigins: number): string | null {
  if (values.length > 1 && values.length !== numOrigins) {
    throw new OperatorError(
      'usage',
      `${flag} is given ${values.length} times for ${numOrigins} origins.`,
      `Give it once for all of them, or once for each --origin, in the same order.`,
    );
  }
  return values[values.length === 1 ? 0 : index] ?? null;
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new OperatorError('usage', `"${text}" is not the URL of an origin.`, 'Give one like http://127.0.0.1:8000.');
  }
  return rootUrl(url.href);
}

function chosenModel(url: string, models: readonly DescribedModel[], name: string | null): DescribedModel {
  const model = name === null ? models[0] : models.find((candidate) => candidate.name === name);
  if (model === undefined) {
    const names = models.map((candidate) => candidate.name).join(', ');
    throw new OperatorError('usage', `The origin at ${url} has no model "${name ?? ''}".`, `It has: ${names}.`);
  }
  return model;
}

/** Asks each origin what it has and makes the configuration that serves it as the pro model. */
export async function attachLocalOrigins(flags: OriginFlags, progress: Progress): Promise<AttachedOrigins> {
  const urls = (flags.origin ?? []).map(checkedUrl);
  const keys = flags.originKey ?? [];
  const modelNames = flags.originModel ?? [];
  if (urls.length === 0 && keys.length + modelNames.length > 0) {
    throw new OperatorError('usage', '--origin-key and --origin-model need an --origin.');
  }
  if (urls.length > ORIGINS_MAX) {
    throw new OperatorError('usage', `At most ${ORIGINS_MAX} origins can be attached, not ${urls.length}.`);
  }
  const origins: object[] = [];
  const secrets: Record<string, string> = {};
  for (const [index, url] of urls.entries()) {
    const key = valueFor('--origin-key', keys, index, urls.length);
    const name = valueFor('--origin-model', modelNames, index, urls.length);
    origins.push(
      await runStep(progress, 'Origin', async () => {
        const origin = await describeOrigin(url, key);
        const model = chosenModel(url, origin.models, name);
        const value = originConfig(index, url, origin, model, key);
        return { value, outcome: `${model.name} on ${origin.engine}, ${url}` };
      }),
    );
    if (key !== null) {
      secrets[keyName(index)] = key;
    }
  }
  return { origins: parseOrigins(origins), secrets };
}

/** What is not said here is filled in by `parseOrigins`. */
function originConfig(
  index: number,
  url: string,
  { engine, concurrency }: DescribedOrigin,
  model: DescribedModel,
  key: string | null,
): object {
  return {
    id: `origin-${index + 1}`,
    url,
    engine,
    models: [
      {
        public: PUBLIC_MODELS.pro.id,
        upstream: model.name,
        capabilities: model.capabilities,
        ...(model.contextLength === null ? {} : { contextLength: model.contextLength }),
        toolCallText: TOOL_CALL_TEXT_MODEL.test(model.name),
        thinkTags: THINK_TAGS_MODEL.test(model.name) ? 'closing' : 'none',
      },
    ],
    ...(concurrency === null ? {} : { concurrency }),
    credentials: key === null ? {} : { apiKeySecret: keyName(index) },
  };
}
