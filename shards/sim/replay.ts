/**
 * Recorded arrivals played in simulated time: requests come when they came, as long as they were, to replicas that compute
 * as fast as real ones and fail now and then. Nobody leaves, so nothing may be lost.
 */
import { ENGINE_LIMITS } from '../engine/limits.ts';
import { pagesForTokens } from '../kv/page-table.ts';
import { check } from './failure.ts';
import type { FaultPlan } from './faults.ts';
import type { ExpectedAnswer, Oracle } from './oracle.ts';
import type { ClusterPlan } from './plan.ts';
import { Random } from './random.ts';
import { randomTokens } from './requests.ts';
import { asFailure, Simulation, type SimReport, type SimWorld } from './simulation.ts';
import { GREEDY } from '../sampling/greedy.ts';

/** Lengths fit into the model's context. */
export interface RecordedRequest {
  /** Since the beginning. */
  readonly arrivalMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

export interface ReplayOptions extends SimWorld {
  readonly seed: number;
  readonly oracle: Oracle;
  /** In order of arrival. */
  readonly requests: readonly RecordedRequest[];
  /** Called every simulated minute. */
  readonly onProgress: (simulatedMs: number, numOpen: number) => void;
}

export interface ReplayReport extends SimReport {
  readonly numPages: number;
  /** Most pages that sequences held at a time, of the replica with the most. Looked at every second. */
  readonly peakPages: number;
  /** Time to the first token, of all finished requests, ascending. */
  readonly ttftMs: readonly number[];
}

const CONTEXT_LENGTH_MAX = 512;
/** Texts that requests begin with; some come again and again. */
const NUM_TEXTS = 12;
const NUM_TENANTS = 3;
const SAMPLE_MS = 1_000;
const PROGRESS_MS = 60_000;
/** After the last arrival: far more than a queue takes that is not stuck. */
const ENDING_MS_MAX = 30 * 60_000;
const EVENTS_MAX = 50_000_000;

/** Two stages of the default model, served: a step of one token takes 5.2 ms, one of 64 tokens 170 ms. */
const STEP_MS = 1.3;
const TOKEN_MS = 1.3;

export function replayCluster(numLayers: number): ClusterPlan {
  return {
    numReplicas: 3,
    stageCount: 2,
    layerBoundaries: [0, numLayers / 2, numLayers],
    contextLengthMax: CONTEXT_LENGTH_MAX,
    numPages: 4 * pagesForTokens(CONTEXT_LENGTH_MAX),
    numTokensMax: 64,
    numLogitRowsMax: 16,
    stepsInFlightMax: 2,
    limits: ENGINE_LIMITS,
    latencyMs: 1,
    storeBytesMax: 2 ** 20,
    stepMs: STEP_MS,
    tokenMs: TOKEN_MS,
  };
}

/** Something happens every few seconds, and each of the rarer faults every few minutes. */
const REPLAY_FAULTS: FaultPlan = {
  frameProbability: new Map([
    ['drop', 2e-5],
    ['delay', 2e-5],
    ['duplicate', 1e-4],
    ['reorder', 2e-5],
    ['corrupt', 2e-5],
    ['cut', 2e-5],
  ]),
  clusterEveryMs: new Map([
    ['kill', 120_000],
    ['kill_while_writing', 300_000],
    ['reset', 120_000],
    ['partition', 600_000],
    ['slow_stage', 300_000],
    ['full_disk', 300_000],
    ['clock_jump', 300_000],
    ['version_skew', 300_000],
  ]),
  clientProbability: new Map(),
};

export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const { seed, release, oracle, requests, onProgress } = options;
  const cluster = replayCluster(release.manifest.config.numLayers);
  const simulation = new Simulation(options, { seed, cluster, faults: REPLAY_FAULTS, eventsMax: EVENTS_MAX });
  const pages = new PeakPages(simulation);
  let failure = null;
  try {
    await sendAll(simulation, oracle, requests, new Random(seed).fork('replay'));
    simulation.cluster.start();
    simulation.chaos.start();
    pages.start();
    const lastMs = requests.at(-1)?.arrivalMs ?? 0;
    for (let untilMs = PROGRESS_MS; simulation.numOpen > 0; untilMs += PROGRESS_MS) {
      await simulation.runUntil(untilMs, () => simulation.numOpen === 0);
      onProgress(simulation.events.nowMs, simulation.numOpen);
      check(untilMs < lastMs + ENDING_MS_MAX, 'ending', `${simulation.numOpen} requests have not ended`);
      if (untilMs >= lastMs) {
        simulation.chaos.end();
      }
    }
    for (const { request, outcome } of simulation.requests) {
      check(outcome?.kind === 'finished', 'ending', `${request.requestId} was lost: ${JSON.stringify(outcome)}`);
    }
  } catch (thrown) {
    failure = asFailure(thrown);
  }
  return {
    ...(await simulation.report(failure)),
    numPages: cluster.numPages,
    peakPages: pages.peak,
    ttftMs: simulation.requests.flatMap(({ ttftMs }) => ttftMs ?? []).sort((a, b) => a - b),
  };
}

async function sendAll(
  simulation: Simulation,
  oracle: Oracle,
  requests: readonly RecordedRequest[],
  random: Random,
): Promise<void> {
  const texts = Array.from({ length: NUM_TEXTS }, () => randomTokens(random, CONTEXT_LENGTH_MAX));
  const outputTokensMax = Math.max(...requests.map(({ outputTokens }) => outputTokens));
  for (const { arrivalMs, promptTokens, outputTokens } of requests) {
    // The first texts are much more frequent than the last.
    const textIndex = Math.floor(random.float() * random.float() * NUM_TEXTS);
    const whole = await oracle.answer(`text ${textIndex} ${promptTokens} of ${outputTokensMax}`, () => ({
      promptTokens: (texts[textIndex] as number[]).slice(0, promptTokens),
      maxTokens: Math.min(outputTokensMax, CONTEXT_LENGTH_MAX - promptTokens),
      sampling: GREEDY,
      stopTokenIds: [],
      numTopLogprobs: null,
      numPromptLogprobs: null,
    }));
    simulation.send(arrivalMs, {
      tenant: `tenant-${random.between(1, NUM_TENANTS)}`,
      expected: beginningOf(whole, outputTokens),
      behaviour: { readPauseMs: 0, leavesAfter: null },
      streamCutAfterMs: null,
    });
  }
}

/** What the same request answers when it asks for fewer tokens. */
function beginningOf({ request, events, tokens }: ExpectedAnswer, maxTokens: number): ExpectedAnswer {
  const numTokens = Math.min(maxTokens, tokens.length);
  const finish = events.at(-1);
  check(finish?.type === 'finish', 'answer', 'the oracle did not finish');
  return {
    request: { ...request, maxTokens: numTokens },
    events: [...events.slice(0, numTokens), { ...finish, completionTokens: numTokens }],
    tokens: tokens.slice(0, numTokens),
  };
}

class PeakPages {
  peak = 0;
  readonly #simulation: Simulation;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  start(): void {
    this.#simulation.events.schedule(SAMPLE_MS, 'pages are counted', () => {
      for (const { engine } of this.#simulation.cluster.replicas) {
        void engine?.stats().then(({ numPages, numFreePages }) => {
          this.peak = Math.max(this.peak, numPages - numFreePages);
        });
      }
      this.start();
    });
  }
}
