/** A simulated world on its way through time: a cluster, its clients and its faults, and the counts of what happens. */
import { createEngineClient, type EngineClient } from '../client/engine-client.ts';
import { ReplicaSet } from '../client/replica-set.ts';
import type { GenerateRequest } from '../engine/protocol.ts';
import { describeError } from '../result.ts';
import type { Canary } from './canary.ts';
import { Chaos } from './chaos.ts';
import { checkAnswer, checkEnding } from './check-answers.ts';
import { checkBounds, checkPages } from './check-pages.ts';
import { ClientRequest, type ClientBehaviour } from './client.ts';
import { SimCluster } from './cluster.ts';
import { EventQueue } from './event-queue.ts';
import { check, SimFailure } from './failure.ts';
import { FaultCounts, type FaultKind, type FaultPlan } from './faults.ts';
import { nextRelease, type ModelRelease, type SyncSha256Hex } from './model-files.ts';
import { SimNetwork } from './network.ts';
import { Operator } from './operator.ts';
import type { ExpectedAnswer } from './oracle.ts';
import type { ClusterPlan } from './plan.ts';
import { SimProcess } from './process.ts';
import { Random } from './random.ts';
import { Totals, type ClusterTotals } from './totals.ts';
import { Trace } from './trace.ts';

/** What no seed changes. */
export interface SimWorld {
  readonly kernels: WebAssembly.Module;
  readonly release: ModelRelease;
  readonly sha256: SyncSha256Hex;
  /** Resolves once all promises that can resolve have done so: one turn of the real event loop. */
  readonly settle: () => Promise<void>;
  /** A bug that is switched on, which a checker has to find. */
  readonly canary: Canary | null;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly cluster: ClusterPlan;
  readonly faults: FaultPlan;
  /** Far more than is needed: a ring that runs in circles is found by it. */
  readonly eventsMax: number;
}

export interface SentRequest {
  readonly tenant: string;
  readonly expected: ExpectedAnswer;
  readonly behaviour: ClientBehaviour;
  /** Its first stream breaks so long after it began; null when it does not. */
  readonly streamCutAfterMs: number | null;
}

/** What came of it, in numbers. */
export interface SimCounts extends ClusterTotals {
  readonly numRequests: number;
  readonly numFinished: number;
  readonly numLeft: number;
  /** By a full queue or by replicas that were drained: told so at once. */
  readonly numRefused: number;
  /** For want of a replica that answered for seconds. */
  readonly numFailed: number;
  readonly numTokens: number;
  /** Streams that were continued by the gateway, on the same replica or another. */
  readonly numResumes: number;
}

export interface SimReport {
  readonly seed: number;
  readonly failure: SimFailure | null;
  readonly traceHash: string;
  readonly lastEvents: readonly string[];
  readonly numEvents: number;
  readonly simulatedMs: number;
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly counts: SimCounts;
}

/** Looking at all pages takes as long as some events. */
const PAGES_EVERY_EVENTS = 32;

export class Simulation {
  readonly events: EventQueue;
  readonly network: SimNetwork;
  readonly cluster: SimCluster;
  readonly chaos: Chaos;
  readonly operator: Operator;
  readonly faults = new FaultCounts();
  readonly requests: ClientRequest[] = [];
  readonly #options: SimulationOptions;
  readonly #trace = new Trace();
  readonly #totals = new Totals();
  /** It has a clock of its own and is never killed. */
  readonly #gateway: SimProcess;
  readonly #client: EngineClient;
  /** Streams that are to be cut, by request. */
  readonly #cuts = new Map<string, number>();
  #numEvents = 0;
  #numOpen = 0;
  #failure: SimFailure | null = null;

  constructor(world: SimWorld, options: SimulationOptions) {
    this.#options = options;
    const { kernels, release, sha256, settle, canary } = world;
    const random = new Random(options.seed);
    const events = new EventQueue({ trace: this.#trace, settle });
    const { cluster: plan } = options;
    this.events = events;
    this.#gateway = new SimProcess('gateway', events);
    const shared = { events, plan: options.faults, counts: this.faults };
    this.network = new SimNetwork({ ...shared, random: random.fork('network'), latencyMs: plan.latencyMs, canary });
    this.cluster = new SimCluster({
      plan,
      release,
      events,
      network: this.network,
      entropy: random.fork('entropy'),
      random: random.fork('disk'),
      kernels,
      sha256,
      canary,
      totals: this.#totals,
    });
    this.chaos = new Chaos({
      ...shared,
      cluster: this.cluster,
      network: this.network,
      random: random.fork('chaos'),
      nextRelease: nextRelease(release, sha256),
      clientName: this.#gateway.name,
    });
    this.operator = new Operator(this.#gateway, (thrown) => {
      this.#failure ??= asFailure(thrown);
    });
    const heads = this.cluster.replicas.map((replica) =>
      replica.clientIn(this.#gateway, (request) => this.#takeCut(request)),
    );
    this.#client = createEngineClient(new ReplicaSet(heads, this.#gateway), this.#gateway);
  }

  /** Requests that have not ended. */
  get numOpen(): number {
    return this.#numOpen;
  }

  /** Lets a client ask after `delayMs`. */
  send(delayMs: number, { tenant, expected, behaviour, streamCutAfterMs }: SentRequest): void {
    const requestId = `request-${this.requests.length}`;
    const request = { ...expected.request, requestId, emittedTokens: [], cacheSalt: tenant };
    if (streamCutAfterMs !== null) {
      this.#cuts.set(requestId, streamCutAfterMs);
    }
    const sent = new ClientRequest(request, expected);
    this.requests.push(sent);
    this.#numOpen++;
    this.events.schedule(delayMs, `${requestId} of ${tenant} is sent`, () => void this.#run(sent, behaviour));
  }

  /** Lets something happen after `delayMs` that may take time; what it throws fails the simulation. */
  later(delayMs: number, label: string, run: () => Promise<void>): void {
    this.events.schedule(delayMs, label, () => {
      run().catch((thrown: unknown) => {
        this.#failure ??= asFailure(thrown);
      });
    });
  }

  /**
   * Waits for a promise while time goes on.
   * @throws SimFailure when it has not settled after `withinMs`; whatever it rejects with.
   */
  async await<T>(promise: Promise<T>, withinMs: number, what: string): Promise<T> {
    let settled: { readonly value: T } | { readonly thrown: unknown } | null = null;
    promise.then(
      (value) => {
        settled = { value };
      },
      (thrown: unknown) => {
        settled = { thrown };
      },
    );
    await this.runUntil(this.events.nowMs + withinMs, () => settled !== null);
    const result = settled as { readonly value: T } | { readonly thrown: unknown } | null;
    check(result !== null, 'ending', `${what} has not ended`);
    if ('thrown' in result) {
      throw result.thrown;
    }
    return result.value;
  }

  /**
   * Runs events until `untilMs` of true time, or until `isDone`.
   * @throws SimFailure when a checker fires; whatever an event throws.
   */
  async runUntil(untilMs: number, isDone: () => boolean): Promise<void> {
    const { eventsMax } = this.#options;
    await this.events.run(
      untilMs,
      () => isDone() || this.#failure !== null,
      () => {
        this.#numEvents++;
        if (this.#numEvents % PAGES_EVERY_EVENTS === 0) {
          this.#checkHeads();
        }
        check(this.#numEvents < eventsMax, 'ending', `${eventsMax} events have not brought it to an end`);
      },
    );
    if (this.#failure !== null) {
      throw this.#failure;
    }
  }

  /** Ends everything. */
  async report(failure: SimFailure | null): Promise<SimReport> {
    for (const shard of this.cluster.shards) {
      shard.stop('the simulation is over', 'kill');
    }
    const numOf = (kind: string): number => this.requests.filter(({ outcome }) => outcome?.kind === kind).length;
    const sum = (count: (request: ClientRequest) => number): number =>
      this.requests.reduce((total, request) => total + count(request), 0);
    return {
      seed: this.#options.seed,
      failure,
      traceHash: this.#trace.hash,
      lastEvents: this.#trace.last(),
      numEvents: this.#numEvents,
      simulatedMs: this.events.nowMs,
      faults: this.faults.toRecord(),
      counts: {
        numRequests: this.requests.length,
        numFinished: numOf('finished'),
        numLeft: numOf('left'),
        numRefused: this.requests.filter(isRefused).length,
        numFailed: numOf('failed') - this.requests.filter(isRefused).length,
        numTokens: sum(({ numTokens }) => numTokens),
        numResumes: sum(({ numResumes }) => numResumes),
        ...(await this.#totals.read()),
      },
    };
  }

  #checkHeads(): void {
    for (const { head, engine } of this.cluster.replicas) {
      if (engine !== null) {
        checkPages(head.name, engine);
        checkBounds(head.name, engine, this.#options.cluster.limits);
      }
    }
  }

  async #run(sent: ClientRequest, behaviour: ClientBehaviour): Promise<void> {
    try {
      await sent.run(this.#client, this.#gateway, behaviour);
      this.#trace.add(this.events.nowMs, `${sent.request.requestId} ${sent.outcome?.kind}`);
      checkEnding(sent);
      checkAnswer(sent);
    } catch (thrown) {
      this.#failure ??= asFailure(thrown);
    } finally {
      this.#numOpen--;
    }
  }

  /** Only the first stream of a request is cut, and none when all shall be quiet. */
  #takeCut({ requestId }: GenerateRequest): number | null {
    const cutAfterMs = this.#cuts.get(requestId) ?? null;
    this.#cuts.delete(requestId);
    if (cutAfterMs === null || this.network.isCalm) {
      return null;
    }
    this.faults.add('stream_cut');
    return cutAfterMs;
  }
}

function isRefused({ outcome }: ClientRequest): boolean {
  return outcome?.kind === 'failed' && (outcome.code === 'queue_full' || outcome.code === 'draining');
}

/** Whatever was thrown, as what a checker of crashes says. */
export function asFailure(thrown: unknown): SimFailure {
  if (thrown instanceof SimFailure) {
    return thrown;
  }
  return new SimFailure('crash', thrown instanceof Error ? (thrown.stack ?? thrown.message) : describeError(thrown));
}
