/** What the object of one classifier does: takes examples, trains in slices on alarms, and hands out what it has learnt. */
import { FeatureError } from '../../shards/client/feature-client.ts';
import { describeError, err, ok, type Result } from '../../shards/result.ts';
import type { SqlDatabase } from '../storage/sql.ts';
import type {
  ClassifierClient,
  ClassifierFailure,
  ClassifierSnapshot,
  CommitOptions,
  CreateRequest,
  DataReport,
  Example,
  ImportedClassifier,
  ServedModel,
  VersionReport,
} from './classifier.ts';
import { ClassifierStore, type ClassifierState, type TrainingState } from './classifier-store.ts';
import type { ClassifyLimits } from './limits.ts';
import { decodeModelFile, encodeModelFile } from './model-file.ts';
import { snapshotOf } from './snapshot.ts';
import { removeCheckpoints, TrainingRun, type SliceOutcome, type TrainingDeps } from './training-run.ts';

export interface ClassifierHostOptions extends Omit<TrainingDeps, 'store'> {
  readonly sql: SqlDatabase;
  readonly limits: ClassifyLimits;
  /** Asks to be woken at a time, in milliseconds since the epoch; one at most. Null: not any more. */
  readonly setAlarm: (atMs: number | null) => void;
  /** Told about failures of trainings, for the operator. */
  readonly reportError: (classifier: string, thrown: unknown) => void;
}

const UNKNOWN: ClassifierFailure = { reason: 'unknown' };

export class ClassifierHost implements ClassifierClient {
  readonly #options: ClassifierHostOptions;
  #store: ClassifierStore | null = null;
  #run: TrainingRun | null = null;

  constructor(options: ClassifierHostOptions) {
    this.#options = options;
  }

  create({ id, name, kind, createdMs }: CreateRequest): Promise<void> {
    this.#openStore().writeState({
      id,
      name,
      kind,
      createdMs,
      status: 'uploading',
      error: null,
      training: null,
      nextVersion: 1,
      upload: null,
    });
    this.#watchUploads();
    return Promise.resolve();
  }

  addExamples(uploadId: string, examples: readonly Example[]): Promise<Result<null, ClassifierFailure>> {
    const store = this.#openStore();
    const state = store.readState();
    if (state === null) {
      return Promise.resolve(err(UNKNOWN));
    }
    if (state.upload !== null && state.upload.id !== uploadId) {
      if (!this.#isStale(state)) {
        return Promise.resolve(err({ reason: 'uploading' }));
      }
      store.removeUploads();
    }
    const { examplesMax } = this.#options.limits;
    if (store.countAll() + examples.length > examplesMax) {
      return Promise.resolve(err({ reason: 'too_many_examples', numExamplesMax: examplesMax }));
    }
    store.addExamples(uploadId, examples);
    store.writeState({ ...state, upload: { id: uploadId, lastMs: this.#options.epochMs() } });
    if (state.training === null) {
      this.#watchUploads();
    }
    return Promise.resolve(ok(null));
  }

  commit({ uploadId, isTrained }: CommitOptions): Promise<Result<ClassifierSnapshot, ClassifierFailure>> {
    const store = this.#openStore();
    const state = store.readState();
    if (state === null) {
      return Promise.resolve(err(UNKNOWN));
    }
    if (state.upload?.id !== uploadId) {
      return Promise.resolve(err({ reason: 'no_examples' }));
    }
    const refusal = this.#refusalOf(store.labels(uploadId), isTrained ? state : null);
    if (refusal !== null) {
      this.#forgetUpload(store, state);
      return Promise.resolve(err(refusal));
    }
    const committed = { ...state, upload: null };
    store.transaction(() => {
      store.commitUpload(uploadId);
      store.writeState(isTrained ? this.#queued(store, committed) : committed);
    });
    this.#wakeFor(isTrained);
    return Promise.resolve(ok(this.#snapshotOf(store, store.readState() ?? committed)));
  }

  abandon(uploadId: string): Promise<void> {
    const store = this.#openStore();
    const state = store.readState();
    if (state?.upload?.id === uploadId) {
      this.#forgetUpload(store, state);
    }
    return Promise.resolve();
  }

  train(): Promise<Result<ClassifierSnapshot, ClassifierFailure>> {
    const store = this.#openStore();
    const state = store.readState();
    if (state === null) {
      return Promise.resolve(err(UNKNOWN));
    }
    const refusal = this.#refusalOf(store.labels(null), state);
    if (refusal !== null) {
      return Promise.resolve(err(refusal));
    }
    const queued = this.#queued(store, state);
    store.writeState(queued);
    this.#wakeFor(true);
    return Promise.resolve(ok(this.#snapshotOf(store, queued)));
  }

  snapshot(): Promise<ClassifierSnapshot | null> {
    const store = this.#openStore();
    const state = store.readState();
    return Promise.resolve(state === null ? null : this.#snapshotOf(store, state));
  }

  report(version: number | null): Promise<Result<VersionReport, ClassifierFailure>> {
    return Promise.resolve(this.#findVersion(this.#openStore(), version));
  }

  model(version: number | null): Promise<Result<ServedModel, ClassifierFailure>> {
    const store = this.#openStore();
    const found = this.#findVersion(store, version);
    if (!found.ok) {
      return Promise.resolve(found);
    }
    const file = store.readModelFile(found.value.version);
    const decoded = file === null ? err('it is missing') : decodeModelFile(file);
    if (!decoded.ok) {
      throw new Error(`the stored model of version ${found.value.version} cannot be read: ${decoded.error}`);
    }
    return Promise.resolve(ok({ version: found.value.version, model: decoded.value.model }));
  }

  versionNumber(version: number | null): Promise<Result<number, ClassifierFailure>> {
    const store = this.#openStore();
    const state = store.readState();
    return Promise.resolve(state === null ? err(UNKNOWN) : chosenVersion(store.versionNumbers(), version, state));
  }

  importModel({ model, report, data }: ImportedClassifier): Promise<Result<ClassifierSnapshot, ClassifierFailure>> {
    const store = this.#openStore();
    const state = store.readState();
    if (state === null) {
      return Promise.resolve(err(UNKNOWN));
    }
    const createdMs = this.#options.epochMs();
    const version = { ...report, version: state.nextVersion, createdMs, data, featuresMs: null, fitMs: null };
    const ready = { ...state, status: 'ready' as const, nextVersion: state.nextVersion + 1 };
    store.transaction(() => {
      store.addVersion(version, encodeModelFile(model, null), this.#options.limits.versionsMax);
      store.writeState(ready);
    });
    return Promise.resolve(ok(this.#snapshotOf(store, ready)));
  }

  async remove(): Promise<boolean> {
    const wasThere = this.#openStore().readState() !== null;
    this.#run?.stop();
    this.#run = null;
    this.#store = null;
    this.#options.setAlarm(null);
    await this.#options.sql.deleteAll();
    return wasThere;
  }

  /** One slice of a training, or a look at an upload whose gateway may be gone. */
  async alarm(): Promise<void> {
    const store = this.#openStore();
    const state = store.readState();
    if (state === null) {
      return;
    }
    if (state.upload !== null || state.status === 'uploading') {
      this.#watchUploads();
      if (this.#isStale(state)) {
        if (state.status === 'uploading') {
          await this.remove();
          return;
        }
        this.#forgetUpload(store, state);
      }
    }
    if (state.training !== null) {
      await this.#slice(store, state, state.training);
    }
  }

  async #slice(store: ClassifierStore, state: ClassifierState, training: TrainingState): Promise<void> {
    const run = (this.#run ??= new TrainingRun(state, training, { ...this.#options, store }));
    let outcome: SliceOutcome;
    try {
      outcome = await run.slice();
    } catch (thrown) {
      if (this.#run === run) {
        this.#failed(store, training, thrown);
      }
      return;
    }
    // Whatever happened while the slice ran: the state is read again, and a classifier that was removed stays so.
    const current = store === this.#store ? store.readState() : null;
    if (this.#run !== run || current === null) {
      return;
    }
    if (outcome.type === 'trained') {
      this.#finish(store, current, training, outcome);
      return;
    }
    const nowMs = this.#options.epochMs();
    const featuresDoneMs = training.featuresDoneMs ?? (run.hasFeatures ? nowMs : null);
    const progressed = { ...training, featuresDoneMs, fraction: run.fraction, numFailures: 0 };
    store.writeState({ ...current, status: 'training', training: progressed });
    this.#options.setAlarm(outcome.type === 'busy' ? nowMs + this.#options.pace.busyDelayMs : nowMs);
  }

  #finish(
    store: ClassifierStore,
    state: ClassifierState,
    training: TrainingState,
    { trained }: Extract<SliceOutcome, { type: 'trained' }>,
  ): void {
    const nowMs = this.#options.epochMs();
    const featuresDoneMs = training.featuresDoneMs ?? training.startedMs;
    const report: VersionReport = {
      ...trained.report,
      version: training.version,
      createdMs: nowMs,
      data: this.#dataReport(store, training.exampleIdMax),
      featuresMs: featuresDoneMs - training.startedMs,
      fitMs: nowMs - featuresDoneMs,
    };
    store.transaction(() => {
      store.addVersion(report, encodeModelFile(trained.model, null), this.#options.limits.versionsMax);
      removeCheckpoints(store.blobs);
      store.writeState({ ...state, status: 'ready', error: null, training: null, nextVersion: training.version + 1 });
    });
    this.#run = null;
    this.#watchUploads();
  }

  /** Tries again later, from what is stored, until it has failed too often or it is known to be in vain. */
  #failed(store: ClassifierStore, training: TrainingState, thrown: unknown): void {
    const { pace, epochMs, setAlarm, reportError } = this.#options;
    this.#run?.stop();
    this.#run = null;
    const state = store.readState();
    if (state === null) {
      return;
    }
    reportError(`classifier ${state.id}`, thrown);
    const numFailures = training.numFailures + 1;
    const isFinal = (thrown instanceof FeatureError && !thrown.retryable) || numFailures >= pace.failuresMax;
    if (isFinal) {
      const error = thrown instanceof FeatureError ? describeError(thrown) : 'The training failed. Train again.';
      store.transaction(() => {
        removeCheckpoints(store.blobs);
        store.writeState({ ...state, status: 'failed', error, training: null });
      });
      this.#watchUploads();
      return;
    }
    store.writeState({ ...state, training: { ...training, numFailures } });
    setAlarm(epochMs() + pace.failureDelayMs * 2 ** (numFailures - 1));
  }

  #dataReport(store: ClassifierStore, exampleIdMax: number): DataReport {
    const { total, first } = store.contradictions(exampleIdMax);
    return {
      numDuplicates: store.countDuplicates(exampleIdMax),
      numContradictions: total,
      contradictions: first,
      singletons: store.singletons(exampleIdMax),
    };
  }

  /** @param trained the classifier that would be trained with these labels, null when it would not */
  #refusalOf(labels: readonly string[], trained: ClassifierState | null): ClassifierFailure | null {
    const { labelsMin, labelsMax } = this.#options.limits;
    if (trained !== null && trained.training !== null) {
      return { reason: 'in_training' };
    }
    if (trained !== null && labels.length < labelsMin) {
      return { reason: 'too_few_labels', labels, numLabelsMin: labelsMin };
    }
    return labels.length > labelsMax
      ? { reason: 'too_many_labels', numLabels: labels.length, numLabelsMax: labelsMax }
      : null;
  }

  #queued(store: ClassifierStore, state: ClassifierState): ClassifierState {
    const training = {
      version: state.nextVersion,
      exampleIdMax: store.exampleIdMax(),
      numExamples: store.countExamples(),
      startedMs: this.#options.epochMs(),
      featuresDoneMs: null,
      fraction: 0,
      numFailures: 0,
    };
    return { ...state, status: 'queued', error: null, training };
  }

  #wakeFor(isTrained: boolean): void {
    if (isTrained) {
      this.#options.setAlarm(this.#options.epochMs());
    }
  }

  /** A training, which sets its own alarms, comes first; this is done again when it is over. */
  #watchUploads(): void {
    this.#options.setAlarm(this.#options.epochMs() + this.#options.limits.uploadStaleMs);
  }

  #isStale({ upload, createdMs }: ClassifierState): boolean {
    return this.#options.epochMs() - (upload?.lastMs ?? createdMs) >= this.#options.limits.uploadStaleMs;
  }

  #forgetUpload(store: ClassifierStore, state: ClassifierState): void {
    store.transaction(() => {
      store.removeUploads();
      store.writeState({ ...state, upload: null });
    });
  }

  #findVersion(store: ClassifierStore, version: number | null): Result<VersionReport, ClassifierFailure> {
    const state = store.readState();
    if (state === null) {
      return err(UNKNOWN);
    }
    const chosen = chosenVersion(store.versionNumbers(), version, state);
    return chosen.ok ? ok(store.report(chosen.value)) : chosen;
  }

  #snapshotOf(store: ClassifierStore, state: ClassifierState): ClassifierSnapshot {
    return snapshotOf(store, state, this.#run);
  }

  #openStore(): ClassifierStore {
    return (this.#store ??= new ClassifierStore(this.#options.sql));
  }
}

/** @param asked null for the latest */
function chosenVersion(
  versions: readonly number[],
  asked: number | null,
  { status, error }: ClassifierState,
): Result<number, ClassifierFailure> {
  const chosen = asked === null ? versions.at(-1) : versions.find((version) => version === asked);
  if (chosen !== undefined) {
    return ok(chosen);
  }
  return asked === null ? err({ reason: 'not_ready', status, error }) : err({ reason: 'unknown_version', versions });
}
