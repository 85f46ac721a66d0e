/**
 * Models of classifiers in the memory of a gateway, so that classifying takes one hop, to the head shard. Whether a model
 * still holds is asked while the head shard reads the texts: nobody waits for it, and the answer is that of the version
 * which the classifier's object named. Only within a second of its last word is an entry taken on trust.
 */
import { modelBytes } from '../../shards/classify/model.ts';
import type { Clock } from '../../shards/platform/clock.ts';
import { ok, type Result } from '../../shards/result.ts';
import type { ClassifierDirectory, ClassifierFailure, ClassifierSnapshot, ServedModel } from './classifier.ts';

/** Of all models together: eleven of 150 labels, three of 500. */
export const MODEL_CACHE_BYTES_MAX = 16 * 1024 * 1024;

/** How long nothing is asked: a gateway that is busy asks a classifier's object once a second. */
export const MODEL_FRESH_MS = 1000;

/** How long an entry serves while the object cannot be reached, which every deployment brings about for a moment. */
export const MODEL_TRUST_MS = 10_000;

/** A model, and what its object says of it now. */
export interface FoundModel {
  readonly served: ServedModel;
  /** Resolves to the model that answers: this one, or the one that has replaced it. Null when there is nothing to ask. */
  readonly confirmed: Promise<Result<ServedModel, ClassifierFailure>> | null;
}

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
  async find(tenant: string, id: string, version: number | null): Promise<Result<FoundModel, ClassifierFailure>> {
    const key = keyOf(tenant, id, version);
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const fetched = await this.#fetch(tenant, id, version);
      return fetched.ok ? ok({ served: fetched.value, confirmed: null }) : fetched;
    }
    this.#keep(key, entry);
    const isFresh = this.#clock.nowMs() - entry.confirmedMs < MODEL_FRESH_MS;
    const confirmed = isFresh ? null : this.#confirm(tenant, id, version, entry);
    // Whoever asked may fail before it looks at this.
    confirmed?.catch(() => {});
    return ok({ served: entry.served, confirmed });
  }

  /** What has just been heard of a classifier: a client that has seen a new version is not answered by an older one. */
  learn(tenant: string, { id, version, versions }: ClassifierSnapshot): void {
    const latestKey = keyOf(tenant, id, null);
    if (this.#entries.get(latestKey)?.served.version !== version) {
      this.#entries.delete(latestKey);
    }
    const kept = new Set(versions.map((summary) => keyOf(tenant, id, summary.version)));
    this.#removeAll(tenant, id, (key) => key !== latestKey && !kept.has(key));
  }

  /** What was removed is not answered from memory. */
  forget(tenant: string, id: string): void {
    this.#removeAll(tenant, id, () => true);
  }

  async #confirm(
    tenant: string,
    id: string,
    version: number | null,
    entry: Entry,
  ): Promise<Result<ServedModel, ClassifierFailure>> {
    const askedMs = this.#clock.nowMs();
    let named: Result<number, ClassifierFailure>;
    try {
      named = await this.#directory.classifier(tenant, id).versionNumber(version);
    } catch (thrown) {
      if (askedMs - entry.confirmedMs < MODEL_TRUST_MS) {
        return ok(entry.served);
      }
      throw thrown;
    }
    if (named.ok && named.value === entry.served.version) {
      entry.confirmedMs = askedMs;
      return ok(entry.served);
    }
    this.#entries.delete(keyOf(tenant, id, version));
    return named.ok ? this.#fetch(tenant, id, version) : named;
  }

  async #fetch(tenant: string, id: string, version: number | null): Promise<Result<ServedModel, ClassifierFailure>> {
    const askedMs = this.#clock.nowMs();
    const found = await this.#directory.classifier(tenant, id).model(version);
    if (found.ok) {
      this.#keep(keyOf(tenant, id, version), { served: found.value, confirmedMs: askedMs });
    }
    return found;
  }

  #removeAll(tenant: string, id: string, isRemoved: (key: string) => boolean): void {
    for (const key of this.#entries.keys()) {
      if (key.startsWith(`${tenant}/${id}/`) && isRemoved(key)) {
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

const keyOf = (tenant: string, id: string, version: number | null): string => `${tenant}/${id}/${version ?? 'latest'}`;
