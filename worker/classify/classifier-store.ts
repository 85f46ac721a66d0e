/** A classifier in the SQLite of its object: its state, its examples, their features, and its versions. */
import type { ClassifierKind } from '../../shards/classify/targets.ts';
import type { SqlDatabase } from '../storage/sql.ts';
import { BLOB_SCHEMA, BlobStore } from './blob-store.ts';
import type { ClassifierStatus, Contradiction, Example, VersionReport } from './classifier.ts';

/** `docs/storage-schema.md` describes it; a test compares the two. */
export const CLASSIFIER_SCHEMA = [
  `CREATE TABLE IF NOT EXISTS classifier (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    state TEXT NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS example (
    id INTEGER PRIMARY KEY,
    upload TEXT,
    text TEXT NOT NULL,
    labels TEXT NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS feature (
    example_id INTEGER PRIMARY KEY,
    recipe TEXT NOT NULL,
    bytes BLOB NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS version (
    number INTEGER PRIMARY KEY,
    report TEXT NOT NULL
  )`,
  BLOB_SCHEMA,
] as const;

export interface TrainingState {
  /** Number of the version that it makes. */
  readonly version: number;
  /** Examples with ids up to this take part: what is added meanwhile waits for the next training. */
  readonly exampleIdMax: number;
  readonly numExamples: number;
  readonly startedMs: number;
  /** When all features were there; null before. */
  readonly featuresDoneMs: number | null;
  /** Of the fit, 0 to 1. */
  readonly fraction: number;
  readonly numFailures: number;
}

export interface ClassifierState {
  readonly id: string;
  readonly name: string;
  readonly kind: ClassifierKind;
  readonly createdMs: number;
  readonly status: ClassifierStatus;
  readonly error: string | null;
  readonly training: TrainingState | null;
  readonly nextVersion: number;
  /** An upload that has begun, and when it was last heard of; one at a time. */
  readonly upload: { readonly id: string; readonly lastMs: number } | null;
}

/** Key of a version's model file among the blobs. */
const modelKey = (version: number): string => `version-${version}`;

/** Contradictions that a report lists; the others are counted. */
export const CONTRADICTIONS_MAX = 50;

export class ClassifierStore {
  readonly blobs: BlobStore;
  readonly #sql: SqlDatabase;

  constructor(sql: SqlDatabase) {
    this.#sql = sql;
    CLASSIFIER_SCHEMA.forEach((statement) => sql.exec(statement));
    this.blobs = new BlobStore(sql);
  }

  transaction(change: () => void): void {
    this.#sql.transaction(change);
  }

  /** Null where there is no classifier. */
  readState(): ClassifierState | null {
    const [row] = this.#sql.exec('SELECT state FROM classifier');
    return row === undefined ? null : (JSON.parse(String(row['state'])) as ClassifierState);
  }

  writeState(state: ClassifierState): void {
    this.#sql.exec('INSERT OR REPLACE INTO classifier (only, state) VALUES (1, ?)', JSON.stringify(state));
  }

  // Examples ==========================================================================================================

  addExamples(upload: string, examples: readonly Example[]): void {
    this.#sql.transaction(() => {
      for (const { text, labels } of examples) {
        const statement = 'INSERT INTO example (upload, text, labels) VALUES (?, ?, ?)';
        this.#sql.exec(statement, upload, text, JSON.stringify(labels));
      }
    });
  }

  /** Examples of the classifier and of uploads that are under way. */
  countAll(): number {
    return this.#count('SELECT count(*) AS number FROM example');
  }

  countExamples(): number {
    return this.#count('SELECT count(*) AS number FROM example WHERE upload IS NULL');
  }

  /** Makes the examples of an upload the classifier's. Their ids are above all others: one upload is under way at a time. */
  commitUpload(upload: string): void {
    this.#sql.exec('UPDATE example SET upload = NULL WHERE upload = ?', upload);
  }

  /** Removes the examples of all uploads that are not committed. */
  removeUploads(): void {
    this.#sql.exec('DELETE FROM example WHERE upload IS NOT NULL');
  }

  exampleIdMax(): number {
    return this.#count('SELECT coalesce(max(id), 0) AS number FROM example WHERE upload IS NULL');
  }

  /** Labels in use, in the order of their text. @param upload counts too, where it is not null */
  labels(upload: string | null): string[] {
    const rows = this.#sql.exec(
      'SELECT DISTINCT value AS label FROM example, json_each(example.labels) WHERE upload IS NULL OR upload = ? ORDER BY label',
      upload,
    );
    return rows.map((row) => String(row['label']));
  }

  /** Of every example up to `idMax`: its id, its labels, and a number that examples with the same text share. */
  trainingExamples(idMax: number): { id: number; group: number; labels: string[] }[] {
    return this.#sql
      .exec(
        `SELECT id, labels, min(id) OVER (PARTITION BY text) AS text_group FROM example
          WHERE upload IS NULL AND id <= ? ORDER BY id`,
        idMax,
      )
      .map((row) => ({
        id: Number(row['id']),
        group: Number(row['text_group']),
        labels: JSON.parse(String(row['labels'])) as string[],
      }));
  }

  // Features ==========================================================================================================

  /** Examples up to `idMax` that have no features of this recipe yet. */
  withoutFeatures(recipe: string, idMax: number, limit: number): { readonly id: number; readonly text: string }[] {
    return this.#sql
      .exec(
        `SELECT example.id AS id, text FROM example LEFT JOIN feature ON example_id = example.id AND recipe = ?
          WHERE upload IS NULL AND example.id <= ? AND example_id IS NULL ORDER BY example.id LIMIT ?`,
        recipe,
        idMax,
        limit,
      )
      .map((row) => ({ id: Number(row['id']), text: String(row['text']) }));
  }

  countFeatures(recipe: string, idMax: number): number {
    return this.#count('SELECT count(*) AS number FROM feature WHERE recipe = ? AND example_id <= ?', recipe, idMax);
  }

  /** @param features bits of f16 */
  writeFeatures(recipe: string, rows: readonly { readonly id: number; readonly features: Uint16Array }[]): void {
    this.#sql.transaction(() => {
      for (const { id, features } of rows) {
        const bytes = new Uint8Array(features.slice().buffer);
        this.#sql.exec(
          'INSERT OR REPLACE INTO feature (example_id, recipe, bytes) VALUES (?, ?, ?)',
          id,
          recipe,
          bytes,
        );
      }
    });
  }

  readFeatures(id: number): Uint8Array | null {
    return (this.#sql.exec('SELECT bytes FROM feature WHERE example_id = ?', id)[0]?.['bytes'] ??
      null) as Uint8Array | null;
  }

  // What a report says of the examples ===============================================================================

  countDuplicates(idMax: number): number {
    return this.#count(
      `SELECT coalesce(sum(copies - 1), 0) AS number FROM (
        SELECT count(*) AS copies FROM example WHERE upload IS NULL AND id <= ? GROUP BY text, labels)`,
      idMax,
    );
  }

  contradictions(idMax: number): { readonly total: number; readonly first: readonly Contradiction[] } {
    const grouped = `SELECT text, json_group_array(DISTINCT labels) AS sets, min(id) AS first FROM example
      WHERE upload IS NULL AND id <= ? GROUP BY text HAVING count(DISTINCT labels) > 1`;
    const total = this.#count(`SELECT count(*) AS number FROM (${grouped})`, idMax);
    const rows = this.#sql.exec(`${grouped} ORDER BY first LIMIT ?`, idMax, CONTRADICTIONS_MAX);
    const first = rows.map((row) => ({
      text: String(row['text']),
      labels: (JSON.parse(String(row['sets'])) as string[]).flatMap((set) => JSON.parse(set) as string[]),
    }));
    return { total, first };
  }

  /** Labels that stand with one text only. */
  singletons(idMax: number): string[] {
    const rows = this.#sql.exec(
      `SELECT value AS label FROM example, json_each(example.labels) WHERE upload IS NULL AND example.id <= ?
        GROUP BY value HAVING count(DISTINCT text) = 1 ORDER BY label`,
      idMax,
    );
    return rows.map((row) => String(row['label']));
  }

  // Versions ==========================================================================================================

  /** Adds a version and removes the oldest ones beyond `versionsMax`. */
  addVersion(report: VersionReport, modelFile: Uint8Array, versionsMax: number): void {
    this.#sql.exec('INSERT INTO version (number, report) VALUES (?, ?)', report.version, JSON.stringify(report));
    this.blobs.write(modelKey(report.version), modelFile);
    for (const version of this.versionNumbers().slice(0, -versionsMax)) {
      this.#sql.exec('DELETE FROM version WHERE number = ?', version);
      this.blobs.remove(modelKey(version));
    }
  }

  /** Ascending. */
  versionNumbers(): number[] {
    return this.#sql.exec('SELECT number FROM version ORDER BY number').map((row) => Number(row['number']));
  }

  /** Of a version that is there. */
  report(version: number): VersionReport {
    const [row] = this.#sql.exec('SELECT report FROM version WHERE number = ?', version);
    return JSON.parse(String(row?.['report'])) as VersionReport;
  }

  /** Of all versions, ascending. */
  reports(): VersionReport[] {
    const rows = this.#sql.exec('SELECT report FROM version ORDER BY number');
    return rows.map((row) => JSON.parse(String(row['report'])) as VersionReport);
  }

  readModelFile(version: number): Uint8Array<ArrayBuffer> | null {
    return this.blobs.read(modelKey(version));
  }

  #count(statement: string, ...values: (string | number)[]): number {
    return Number(this.#sql.exec(statement, ...values)[0]?.['number'] ?? 0);
  }
}
