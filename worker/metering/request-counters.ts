/** Counters over the records of this isolate, as Prometheus reads them. Another isolate has others: they are summed by the reader. */
import type { OriginHealth } from '../origin/origin-backend.ts';
import type { MeteringSink, ServedRecord } from './served-record.ts';

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  /** Value by the text of its labels. Labels come from the catalogue and from configured origins, so there are few. */
  readonly values: Map<string, number>;
}

const metric = (type: Metric['type'], help: string): Metric => ({ type, help, values: new Map() });

export class RequestCounters implements MeteringSink {
  readonly #next: MeteringSink;
  readonly #metrics = {
    lamina_requests_total: metric('counter', 'Requests with a valid key, by who served them and how they ended.'),
    lamina_fallbacks_total: metric(
      'counter',
      'Requests that another model than the one asked for has served, and why.',
    ),
    lamina_tokens_total: metric('counter', 'Tokens, by the model that served.'),
    lamina_cost_cny_total: metric('counter', 'Price of the tokens in CNY, by the model that served.'),
    lamina_attempts_total: metric('counter', 'Calls to backends.'),
    lamina_ring_resumes_total: metric('counter', 'Times that a generation went on after its ring had failed.'),
  };

  /** @param next where records go on to. */
  constructor(next: MeteringSink) {
    this.#next = next;
  }

  record(record: ServedRecord): void {
    const model = record.model ?? 'none';
    const servedModel = record.servedModel ?? 'none';
    const { surface, outcome, fallbackReason } = record;
    const served = { model: servedModel };
    add(this.#metrics.lamina_requests_total, 1, { surface, model, served_by: record.servedBy ?? 'none', outcome });
    add(this.#metrics.lamina_tokens_total, record.promptTokens, { ...served, kind: 'prompt' });
    add(this.#metrics.lamina_tokens_total, record.completionTokens, { ...served, kind: 'completion' });
    add(this.#metrics.lamina_tokens_total, record.cachedTokens, { ...served, kind: 'cached' });
    add(this.#metrics.lamina_cost_cny_total, record.costCny, served);
    add(this.#metrics.lamina_attempts_total, record.attempts, served);
    add(this.#metrics.lamina_ring_resumes_total, record.numResumes, served);
    if (fallbackReason !== null) {
      add(this.#metrics.lamina_fallbacks_total, 1, { model, served_model: servedModel, reason: fallbackReason });
    }
    this.#next.record(record);
  }

  /** The text format of Prometheus. */
  render(origins: readonly OriginHealth[]): string {
    return Object.entries({ ...this.#metrics, ...originMetrics(origins) })
      .filter(([, { values }]) => values.size > 0)
      .map(([name, { type, help, values }]) =>
        [
          `# HELP ${name} ${help}`,
          `# TYPE ${name} ${type}`,
          ...[...values].map(([labels, value]) => `${name}${labels} ${value}`),
          '',
        ].join('\n'),
      )
      .join('');
  }
}

function originMetrics(origins: readonly OriginHealth[]): Record<string, Metric> {
  const metrics = {
    lamina_origin_up: metric('gauge', 'Whether requests are sent to the origin: 1, or 0 while its breaker is open.'),
    lamina_origin_in_flight: metric('gauge', 'Requests that run at the origin, from this isolate.'),
    lamina_origin_waiting: metric('gauge', 'Requests that wait in this isolate for the origin.'),
    lamina_origin_calls_total: metric('counter', 'Calls to the origin.'),
    lamina_origin_failures_total: metric('counter', 'Calls to the origin that failed.'),
    lamina_origin_hedges_total: metric('counter', 'Calls to the origin beside one to another that was late.'),
  };
  for (const { id: origin, breaker, inFlight, waiting, requests, failures, hedges } of origins) {
    add(metrics.lamina_origin_up, breaker === 'open' ? 0 : 1, { origin });
    add(metrics.lamina_origin_in_flight, inFlight, { origin });
    add(metrics.lamina_origin_waiting, waiting, { origin });
    add(metrics.lamina_origin_calls_total, requests, { origin });
    add(metrics.lamina_origin_failures_total, failures, { origin });
    add(metrics.lamina_origin_hedges_total, hedges, { origin });
  }
  return metrics;
}

function add({ values }: Metric, amount: number, labels: Labels): void {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  const key = `{${pairs.join(',')}}`;
  values.set(key, (values.get(key) ?? 0) + amount);
}

const escapeLabel = (value: string): string =>
  value
    .replaceAll('\\', String.raw`\\`)
    .replaceAll('"', String.raw`\"`)
    .replaceAll('\n', String.raw`\n`);
