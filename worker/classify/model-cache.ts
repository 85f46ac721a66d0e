/**
 * Models of classifiers in the memory of a gateway, so that classifying takes one hop, to the head shard. An entry is
 * asked about again after some seconds: until then a gateway may answer with a version that has just been replaced, or
 * for a classifier that has just been removed.
 */
import { modelBytes } from '../../shards/classify/model.ts';
import type { Clock } from '../../shards/platform/clock.ts';
import { ok, type Result } from '../../shards/result.ts';
import type { ClassifierDirectory, ClassifierFailure, ServedModel } from './classifier.ts';

/** Of all models together: eleven of 150 labels, three of 500. */
export const MODEL_CACHE_BYTES_MAX = 16 * 1024 * 1024;

/** How long an entry is taken on trust. */
export const MODEL_FRESH_MS = 10_000;

interface Entry {
  readonly served: ServedModel;
  /** When the classifier's object last confirmed it. */
  confirmedMs: number;
}

export class ModelCache {
  readonly #directory: ClassifierDirectory;
  readonly #clock: Clock;
  /** By tenant, id and the version that was asked for; the least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor(directory: ClassifierDirectory, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** Bytes of all models that it holds. */
  get bytes(): number {
    return [...this.#entries.values()].reduce((sum, { served }) => sum + modelBytes(served.model), 0);
  }

  /** @param version null for the latest */
  async find(tenant: string, id: string, version: number | null): Promise<Result<ServedModel, ClassifierFailure>> {
    const key = `${tenant}/${id}/${version ?? 'latest'}`;
    const entry = this.#entries.get(key);
    const nowMs = this.#clock.nowMs();
    if (entry !== undefined && nowMs - entry.confirmedMs < MODEL_FRESH_MS) {
      this.#keep(key, entry);
      return ok(entry.served);
    }
    const classifier = this.#directory.classifier(tenant, id);
    if (entry !== undefined) {
      const report = await classifier.report(version);
      if (report.ok && report.value.version === entry.served.version) {
        entry.confirmedMs = nowMs;
        this.#keep(key, entry);
        return ok(entry.served);
      }
      this.#entries.delete(key);
    }
    const found = await classifier.model(version);
    if (found.ok) {
      this.#keep(key, { served: found.value, confirmedMs: nowMs });
    }
    return found;
  }

  /** What was removed or trained here is not answered from memory. */
  forget(tenant: string, id: string): void {
    for (const key of this.#entries.keys()) {
      if (key.startsWith(`${tenant}/${id}/`)) {
        this.#entries.delete(key);
      }
    }
  }

  #keep(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.bytes <= MODEL_CACHE_BYTES_MAX) {
        return;
      }
      this.#entries.delete(oldest);
    }
  }
}
