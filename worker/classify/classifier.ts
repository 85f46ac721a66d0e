/** A classifier as gateway and object speak of it. Plain structured-clone data: it crosses an RPC boundary. */
import type { ClassifierModel } from '../../shards/classify/model.ts';
import type { TrainingReport } from '../../shards/classify/report.ts';
import type { ClassifierKind } from '../../shards/classify/targets.ts';
import type { Result } from '../../shards/result.ts';
import type { ForgottenPart } from '../tenant-data.ts';

/** `uploading` until the examples are there; `ready` and `failed` until somebody trains again. */
export type ClassifierStatus = 'uploading' | 'queued' | 'training' | 'ready' | 'failed';

export interface Example {
  readonly text: string;
  /** One, unless the classifier is multi-label. */
  readonly labels: readonly string[];
}

export interface TrainingProgress {
  readonly phase: 'features' | 'fit';
  /** Of the phase, 0 to 1. */
  readonly fraction: number;
  /** Texts whose features are there, of all. */
  readonly numFeatures: number;
  readonly numExamples: number;
}

/** The same text under different labels: one of them is wrong, or the labels overlap. */
export interface Contradiction {
  readonly text: string;
  readonly labels: readonly string[];
}

/** What is worth knowing of the examples beside how well they are learnt. */
export interface DataReport {
  /** Examples that repeat an earlier one, text and labels. */
  readonly numDuplicates: number;
  /** Texts that stand under different labels; the first of them below. All of them are learnt from. */
  readonly numContradictions: number;
  readonly contradictions: readonly Contradiction[];
  /** Labels with one text only: learnt, but not validated. */
  readonly singletons: readonly string[];
}

export interface VersionReport extends TrainingReport {
  readonly version: number;
  readonly createdMs: number;
  readonly data: DataReport;
  /** Wall time of the two phases; null for a classifier that was imported. */
  readonly featuresMs: number | null;
  readonly fitMs: number | null;
}

export interface VersionSummary {
  readonly version: number;
  readonly createdMs: number;
  readonly numExamples: number;
  readonly numLabels: number;
  /** Cross-validated; null where nothing could be validated. */
  readonly accuracy: number | null;
}

export interface ClassifierSnapshot {
  readonly id: string;
  readonly name: string;
  readonly kind: ClassifierKind;
  readonly status: ClassifierStatus;
  readonly createdMs: number;
  readonly numExamples: number;
  /** That answers when a request pins none; null before the first training is over. */
  readonly version: number | null;
  /** Ascending. */
  readonly versions: readonly VersionSummary[];
  readonly progress: TrainingProgress | null;
  /** Why the last training failed, for people. */
  readonly error: string | null;
}

export interface CreateRequest {
  readonly id: string;
  readonly name: string;
  readonly kind: ClassifierKind;
  readonly createdMs: number;
}

export type ClassifierFailure =
  /** There is no such classifier, or not any more. */
  | { readonly reason: 'unknown' }
  | { readonly reason: 'unknown_version'; readonly versions: readonly number[] }
  | { readonly reason: 'not_ready'; readonly status: ClassifierStatus; readonly error: string | null }
  | { readonly reason: 'too_many_examples'; readonly numExamplesMax: number }
  | { readonly reason: 'too_few_labels'; readonly labels: readonly string[]; readonly numLabelsMin: number }
  | { readonly reason: 'too_many_labels'; readonly numLabels: number; readonly numLabelsMax: number }
  | { readonly reason: 'no_examples' }
  | { readonly reason: 'in_training' }
  /** Another upload is under way. */
  | { readonly reason: 'uploading' };

export interface CommitOptions {
  readonly uploadId: string;
  /** Whether to train once the examples are there. */
  readonly isTrained: boolean;
}

export interface ServedModel {
  readonly version: number;
  readonly model: ClassifierModel;
}

export interface ImportedClassifier {
  readonly model: ClassifierModel;
  readonly report: TrainingReport;
  readonly data: DataReport;
}

/** The object of one classifier: a Durable Object stub when deployed. */
export interface ClassifierClient {
  create(request: CreateRequest): Promise<void>;
  /** Adds examples to an upload; nobody sees them before `commit`. They are durable when this resolves. */
  addExamples(uploadId: string, examples: readonly Example[]): Promise<Result<null, ClassifierFailure>>;
  /** Makes an upload's examples part of the classifier; when it is refused they are gone. */
  commit(options: CommitOptions): Promise<Result<ClassifierSnapshot, ClassifierFailure>>;
  /** Forgets an upload. */
  abandon(uploadId: string): Promise<void>;
  /** Starts a training of all examples, whose result is a new version. */
  train(): Promise<Result<ClassifierSnapshot, ClassifierFailure>>;
  /** Null when there is no such classifier. */
  snapshot(): Promise<ClassifierSnapshot | null>;
  /** @param version null for the latest */
  report(version: number | null): Promise<Result<VersionReport, ClassifierFailure>>;
  model(version: number | null): Promise<Result<ServedModel, ClassifierFailure>>;
  /** Which version `model` would give: cheap to ask. */
  versionNumber(version: number | null): Promise<Result<number, ClassifierFailure>>;
  /** Takes a model in place of a training. */
  importModel(imported: ImportedClassifier): Promise<Result<ClassifierSnapshot, ClassifierFailure>>;
  /** Removes all that there is. @returns whether there was anything */
  remove(): Promise<boolean>;
}

export interface IndexEntry {
  readonly id: string;
  readonly createdMs: number;
}

export interface IndexPage {
  readonly ids: readonly string[];
  readonly hasMore: boolean;
}

/** The object that knows which classifiers a tenant has. */
export interface ClassifierIndexClient {
  /** @returns false when the tenant has as many as it may. */
  add(entry: IndexEntry): Promise<boolean>;
  remove(id: string): Promise<void>;
  /** Ids, newest first, after `after` where that is not null. Null when there is no such id to go on from. */
  list(after: string | null, limit: number): Promise<IndexPage | null>;
  /** Leaves nothing. */
  clear(): Promise<void>;
}

/** Where a tenant's classifiers are. Another tenant's are nowhere to be found: the tenant is part of the name. */
export interface ClassifierDirectory {
  classifier(tenant: string, id: string): ClassifierClient;
  index(tenant: string): ClassifierIndexClient;
}

/** Classifiers that one part of a deletion removes: two calls each, of the thousands that a request may make. */
export const CLASSIFIERS_FORGOTTEN_MAX = 16;

/**
 * Some of a tenant's classifiers, for its deletion. A part that is cut finds the rest when it is repeated, since the index
 * forgets a classifier when nothing of it is left.
 */
export async function removeSomeClassifiers(directory: ClassifierDirectory, tenant: string): Promise<ForgottenPart> {
  const index = directory.index(tenant);
  // From the beginning, which is always there.
  const { ids, hasMore } = (await index.list(null, CLASSIFIERS_FORGOTTEN_MAX)) as IndexPage;
  for (const id of ids) {
    await directory.classifier(tenant, id).remove();
    await index.remove(id);
  }
  if (!hasMore) {
    await index.clear();
  }
  return { count: ids.length, isMoreLeft: hasMore };
}
