/** The classifiers' objects in this process, on databases that outlive them, with alarms that fire when a test says so. */
import type { DatabaseSync } from 'node:sqlite';
import { loadKernels } from '../../../wasm/build.ts';
import type { ClassifierClient, ClassifierDirectory, ClassifierIndexClient } from '../../classify/classifier.ts';
import { ClassifierHost } from '../../classify/classifier-host.ts';
import { createFeatureSource } from '../../classify/feature-source.ts';
import { IndexHost } from '../../classify/index-host.ts';
import { CLASSIFY_LIMITS, TRAINING_PACE, type ClassifyLimits, type TrainingPace } from '../../classify/limits.ts';
import { TrainingLease } from '../../classify/training-lease.ts';
import type { GatewayDeps } from '../../gateway.ts';
import { HashedFeatures } from './hashed-features.ts';
import { newDatabase, openLife } from './node-sql.ts';

interface LocalObject {
  readonly database: DatabaseSync;
  life: { readonly host: ClassifierHost; readonly end: () => void } | null;
  alarmAtMs: number | null;
}

export interface LocalClassifiersOptions {
  readonly limits?: Partial<ClassifyLimits>;
  readonly pace?: Partial<TrainingPace>;
}

const kernels = await loadKernels();

export class LocalClassifiers implements ClassifierDirectory {
  readonly head = new HashedFeatures();
  readonly objects = new Map<string, LocalObject>();
  readonly errors: unknown[] = [];
  readonly limits: ClassifyLimits;
  /** The dependencies with classifiers in them. */
  readonly deps: GatewayDeps;
  nowMs = 1_700_000_000_000;
  #lease: TrainingLease;
  readonly #pace: TrainingPace;
  readonly #indexes = new Map<string, DatabaseSync>();

  constructor(deps: GatewayDeps, options: LocalClassifiersOptions = {}) {
    this.limits = { ...CLASSIFY_LIMITS, ...options.limits };
    this.#pace = { ...TRAINING_PACE, ...options.pace };
    this.#lease = new TrainingLease(this.#pace.leaseStaleMs);
    this.deps = {
      ...deps,
      classifiers: this,
      classifyLimits: this.limits,
      featureHeads: () => [this.head],
      epochMs: () => this.nowMs,
    };
  }

  /** All objects lose their memory and keep their storage. */
  crash(): void {
    for (const object of this.objects.values()) {
      object.life?.end();
      object.life = null;
    }
    this.#lease = new TrainingLease(this.#pace.leaseStaleMs);
  }

  /** Fires alarms that are due, once each. @returns how many there were */
  async fireAlarms(): Promise<number> {
    const due = [...this.objects].filter(([, { alarmAtMs }]) => alarmAtMs !== null && alarmAtMs <= this.nowMs);
    for (const [name, object] of due) {
      object.alarmAtMs = null;
      await this.#host(name).alarm();
    }
    return due.length;
  }

  /** Until no alarm is due: then all trainings are over, or wait for later. @returns how many there were */
  async settle(): Promise<number> {
    let numFired = 0;
    for (let numDue = await this.fireAlarms(); numDue > 0; numDue = await this.fireAlarms()) {
      numFired += numDue;
    }
    return numFired;
  }

  classifier(tenant: string, id: string): ClassifierClient {
    const host = (): ClassifierHost => this.#host(`${tenant}/${id}`);
    return {
      create: (request) => host().create(structuredClone(request)),
      addExamples: (uploadId, examples) => host().addExamples(uploadId, structuredClone(examples)),
      commit: (options) => host().commit(options),
      abandon: (uploadId) => host().abandon(uploadId),
      train: () => host().train(),
      snapshot: async () => structuredClone(await host().snapshot()),
      report: async (version) => structuredClone(await host().report(version)),
      model: async (version) => structuredClone(await host().model(version)),
      versionNumber: (version) => host().versionNumber(version),
      importModel: (imported) => host().importModel(structuredClone(imported)),
      remove: () => host().remove(),
    };
  }

  index(tenant: string): ClassifierIndexClient {
    const database = this.#indexes.get(tenant) ?? newDatabase();
    this.#indexes.set(tenant, database);
    return new IndexHost(openLife(database).sql, this.limits.classifiersMax);
  }

  #host(name: string): ClassifierHost {
    const object = this.objects.get(name) ?? { database: newDatabase(), life: null, alarmAtMs: null };
    this.objects.set(name, object);
    if (object.life === null) {
      const { sql, end } = openLife(object.database);
      const host = new ClassifierHost({
        sql,
        features: createFeatureSource(this.deps.catalog, this.deps),
        kernels,
        lease: this.#lease,
        pace: this.#pace,
        limits: this.limits,
        epochMs: () => this.nowMs,
        setAlarm: (atMs) => void (object.alarmAtMs = atMs),
        reportError: (_classifier, thrown) => void this.errors.push(thrown),
      });
      object.life = { host, end };
    }
    return object.life.host;
  }
}
