/**
 * The script of classifiers: an object for each, named `<tenant>/<id>`, and one for each tenant that knows them, named
 * `<tenant>`. A script of its own has an isolate of its own: training takes most of its memory.
 */
import { DurableObject } from 'cloudflare:workers';
import { systemClock } from '../../shards/platform/system.ts';
import kernels from '../../wasm/build/kernels.wasm';
import type {
  ClassifierClient,
  ClassifierIndexClient,
  CommitOptions,
  CreateRequest,
  Example,
  ImportedClassifier,
  IndexEntry,
} from '../classify/classifier.ts';
import { ClassifierHost } from '../classify/classifier-host.ts';
import { createFeatureSource } from '../classify/feature-source.ts';
import { IndexHost } from '../classify/index-host.ts';
import { CLASSIFY_LIMITS, TRAINING_PACE } from '../classify/limits.ts';
import type { FeatureSource } from '../classify/text-features.ts';
import { TrainingLease } from '../classify/training-lease.ts';
import { parseTrainingRoom } from '../classify/training-room.ts';
import { reportErrorToConsole } from '../metering/console-sink.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { createTextModels } from '../tokenizer/text-model.ts';
import { createModelFileReader } from './asset-files.ts';
import { headStub } from './head-stub.ts';
import { sqlStorage } from './sql-storage.ts';

export interface ClassifierBindings {
  /** The tokenizer of the model that features come from. */
  readonly ASSETS: Fetcher;
  /** As the gateway's: see `worker/routing/catalog.ts`. */
  readonly CATALOG: string;
  /** JSON: see `worker/classify/training-room.ts`. */
  readonly TRAINING: string;
  /** Namespaces of head shards, under the names that the catalog gives. */
  readonly [headBinding: string]: unknown;
}

/** Memory that all objects of the isolate share. */
const lease = new TrainingLease(TRAINING_PACE.leaseStaleMs);
let features: FeatureSource | null = null;

function featureSource(bindings: ClassifierBindings): FeatureSource {
  return (features ??= createFeatureSource(parseCatalog(bindings.CATALOG), {
    featureHeads: (entry) => entry.backend.headBindings.map((name, index) => headStub(bindings[name], index)),
    textModel: createTextModels(createModelFileReader(bindings.ASSETS)),
    clock: systemClock,
    randomId: () => crypto.randomUUID().replaceAll('-', ''),
  }));
}

export class ClassifierShard extends DurableObject<ClassifierBindings> implements ClassifierClient {
  readonly #host: ClassifierHost;

  constructor(ctx: DurableObjectState, bindings: ClassifierBindings) {
    super(ctx, bindings);
    const { labelsMax, trainingBytesMax } = parseTrainingRoom(bindings.TRAINING);
    this.#host = new ClassifierHost({
      sql: sqlStorage(ctx.storage),
      features: featureSource(bindings),
      kernels,
      lease,
      pace: { ...TRAINING_PACE, trainingBytesMax },
      limits: { ...CLASSIFY_LIMITS, labelsMax },
      epochMs: () => Date.now(),
      setAlarm: (atMs) => void (atMs === null ? ctx.storage.deleteAlarm() : ctx.storage.setAlarm(atMs)),
      reportError: reportErrorToConsole,
    });
  }

  create(request: CreateRequest) {
    return this.#host.create(request);
  }

  addExamples(uploadId: string, examples: readonly Example[]) {
    return this.#host.addExamples(uploadId, examples);
  }

  commit(options: CommitOptions) {
    return this.#host.commit(options);
  }

  abandon(uploadId: string) {
    return this.#host.abandon(uploadId);
  }

  train() {
    return this.#host.train();
  }

  snapshot() {
    return this.#host.snapshot();
  }

  report(version: number | null) {
    return this.#host.report(version);
  }

  model(version: number | null) {
    return this.#host.model(version);
  }

  versionNumber(version: number | null) {
    return this.#host.versionNumber(version);
  }

  importModel(imported: ImportedClassifier) {
    return this.#host.importModel(imported);
  }

  remove() {
    return this.#host.remove();
  }

  override alarm() {
    return this.#host.alarm();
  }
}

export class ClassifierIndex extends DurableObject<ClassifierBindings> implements ClassifierIndexClient {
  readonly #host: IndexHost;

  constructor(ctx: DurableObjectState, bindings: ClassifierBindings) {
    super(ctx, bindings);
    this.#host = new IndexHost(sqlStorage(ctx.storage), CLASSIFY_LIMITS.classifiersMax);
  }

  add(entry: IndexEntry) {
    return this.#host.add(entry);
  }

  remove(id: string) {
    return this.#host.remove(id);
  }

  list(after: string | null, limit: number) {
    return this.#host.list(after, limit);
  }

  clear() {
    return this.#host.clear();
  }
}

export default {
  /** The script has no address of its own; its objects are reached through bindings. */
  fetch(): Response {
    return new Response('not found', { status: 404 });
  },
};
