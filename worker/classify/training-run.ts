/**
 * One training of a classifier, in slices short enough for an event of its object. What is done is in SQLite: features
 * one by one, what the fit has learnt after each fold. Whatever ends the object, the next slice goes on from there.
 */
import type { Checkpoints } from '../../shards/classify/cross-validate.ts';
import { train, type Trained } from '../../shards/classify/train.ts';
import type { Work } from '../../shards/classify/training-rows.ts';
import { CLASSIFIER_NUM_PARTS, FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import { f32ToF16 } from '../../wasm/host/f16.ts';
import { bytesToFloats, floatBytes, type BlobStore } from './blob-store.ts';
import type { ClassifierState, ClassifierStore, TrainingState } from './classifier-store.ts';
import type { TrainingPace } from './limits.ts';
import { storedTraining } from './stored-rows.ts';
import { featuresOf, recipeName, tokensOf, withHashedParts, type FeatureSource } from './text-features.ts';
import type { TrainingLease } from './training-lease.ts';

export interface TrainingDeps {
  readonly store: ClassifierStore;
  readonly features: FeatureSource;
  /** The compiled `kernels.wasm`. */
  readonly kernels: WebAssembly.Module;
  readonly lease: TrainingLease;
  readonly pace: TrainingPace;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
}

export type SliceOutcome =
  { readonly type: 'more' } | { readonly type: 'busy' } | { readonly type: 'trained'; readonly trained: Trained };

const CHECKPOINT_PREFIX = 'checkpoint-';
/** Largest f16. Hidden states of some models go beyond; where they do, one more does not matter. */
const F16_MAX = 65_504;

export class TrainingRun {
  readonly #deps: TrainingDeps;
  readonly #state: ClassifierState;
  readonly #training: TrainingState;
  readonly #stop = new AbortController();
  #fit: Work<Trained> | null = null;
  #fraction: number;
  #numFeatures: number;

  constructor(state: ClassifierState, training: TrainingState, deps: TrainingDeps) {
    this.#deps = deps;
    this.#state = state;
    this.#training = training;
    this.#fraction = training.fraction;
    this.#numFeatures = deps.store.countFeatures(recipeName(deps.features), training.exampleIdMax);
  }

  get numFeatures(): number {
    return this.#numFeatures;
  }

  /** Of the fit, 0 to 1. */
  get fraction(): number {
    return this.#fraction;
  }

  get hasFeatures(): boolean {
    return this.#numFeatures >= this.#training.numExamples;
  }

  /** Ends the slice that runs, if one does, and lets go of the memory. */
  stop(): void {
    this.#stop.abort();
    this.#fit = null;
    this.#deps.lease.release(this);
  }

  /** @throws FeatureError when the head shard does not give features; AbortedError when it was stopped. */
  async slice(): Promise<SliceOutcome> {
    if (!this.hasFeatures) {
      for (let call = 0; call < this.#deps.pace.featureCallsMax && !this.hasFeatures; call++) {
        await this.#addFeatures();
      }
      return { type: 'more' };
    }
    if (!this.#deps.lease.acquire(this, this.#deps.epochMs())) {
      return { type: 'busy' };
    }
    return this.#fitSlice();
  }

  async #addFeatures(): Promise<void> {
    const { store, features, pace } = this.#deps;
    const recipe = recipeName(features);
    const missing = store.withoutFeatures(recipe, this.#training.exampleIdMax, pace.featureTextsMax);
    const model = await features.textModel();
    const batch: { readonly id: number; readonly text: string; readonly tokens: readonly number[] }[] = [];
    let numTokens = 0;
    for (const { id, text } of missing) {
      const tokens = tokensOf(model, text);
      numTokens += tokens.length;
      if (batch.length > 0 && numTokens > pace.featureTokensMax) {
        break;
      }
      batch.push({ id, text, tokens });
    }
    const tokens = batch.map((example) => example.tokens);
    const pooled = await featuresOf(features, tokens, this.#stop.signal);
    this.#stop.signal.throwIfAborted();
    const texts = batch.map(({ text }) => text);
    const { features: rows, featureSize } = withHashedParts(pooled, texts);
    store.writeFeatures(
      recipe,
      batch.map(({ id }, row) => ({ id, features: toF16(rows.subarray(row * featureSize, (row + 1) * featureSize)) })),
    );
    this.#numFeatures += batch.length;
  }

  async #fitSlice(): Promise<SliceOutcome> {
    const { pace, features } = this.#deps;
    const fit = (this.#fit ??= this.#startFit());
    let numDone = 0;
    let numInTurn = 0;
    while (numDone < pace.sliceMultiplyAdds) {
      const { done, value } = fit.next();
      if (done === true) {
        this.#deps.lease.release(this);
        return { type: 'trained', trained: value };
      }
      numDone += value;
      numInTurn += value;
      if (numInTurn >= pace.turnMultiplyAdds) {
        numInTurn = 0;
        await features.clock.yieldToEvents();
        this.#stop.signal.throwIfAborted();
      }
    }
    return { type: 'more' };
  }

  #startFit(): Work<Trained> {
    const { store, features, kernels, pace } = this.#deps;
    const { exampleIdMax } = this.#training;
    const { kind } = this.#state;
    const stored = storedTraining({
      store,
      kind,
      exampleIdMax,
      bytesMax: pace.trainingBytesMax,
      numParts: CLASSIFIER_NUM_PARTS,
      numHashedParts: FEATURE_RECIPE.numHashedParts,
    });
    return train({
      ...stored,
      kernels,
      featureRecipe: recipeName(features),
      checkpoints: blobCheckpoints(store.blobs, recipeName(features)),
      onProgress: (fraction) => {
        this.#fraction = Math.max(this.#fraction, fraction);
      },
    });
  }
}

/** Forgets what a training has learnt on its way. */
export function removeCheckpoints(blobs: BlobStore): void {
  blobs.removeAll(CHECKPOINT_PREFIX);
}

/** What was learnt from the features of another recipe is of no use, and of another size. */
function blobCheckpoints(blobs: BlobStore, recipe: string): Checkpoints {
  const prefix = `${CHECKPOINT_PREFIX}${recipe}-`;
  return {
    load: (key) => {
      const bytes = blobs.read(prefix + key);
      return bytes === null ? null : bytesToFloats(bytes);
    },
    save: (key, values) => blobs.write(prefix + key, floatBytes(values)),
    remove: (key) => blobs.remove(prefix + key),
  };
}

function toF16(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, (value) => f32ToF16(Math.min(F16_MAX, Math.max(-F16_MAX, value))));
}
