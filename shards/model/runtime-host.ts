/**
 * The one stage runtime of an isolate. Several shard objects may share an isolate, hence its 128 MB: the weights are
 * held once, and one object at a time has the KV pages, since each replica's head numbers pages from 0.
 */
import { AssertionError } from '../../wasm/host/assert.ts';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import type { StageRuntime, StageRuntimeOptions } from '../../wasm/host/stage-runtime.ts';
import type { StageFailure } from '../link/ring-protocol.ts';
import { readAsset, type AssetSource } from '../platform/assets.ts';
import { randomId, sleep, type Clock, type Entropy } from '../platform/clock.ts';
import { describeError, err, ok, type Result } from '../result.ts';
import { NUM_FEATURE_PAGES, type StageAssignment } from './assignment.ts';
import type { Manifest } from './manifest.ts';
import { ManifestError } from './manifest-fields.ts';
import { parseManifest } from './parse-manifest.ts';
import { loadWeights, sha256Hex, WeightLoadError, type Sha256Hex } from './weight-loader.ts';

export const MANIFEST_FILE = 'manifest.json';
/** A model of 100 layers has a manifest of about 400 kB. */
export const MANIFEST_BYTES_MAX = 4 * 2 ** 20;

/** A holder that has not run a step for this long is gone: idle rings release their lease after seconds. */
export const LEASE_STALE_MS = 120_000;
/**
 * A load that has got nothing for so long is taken over: the object that was at it has been reset, or its fetch hangs. A
 * file of a stage comes in tenths of a second, and a load that is taken over for nothing costs one more of them.
 */
export const LOAD_STALL_MS = 2_000;
/** Objects of one isolate cannot await each other's promises, so they look again. */
export const LOAD_POLL_MS = 50;

export interface RuntimeHostOptions {
  readonly assignment: StageAssignment;
  /** `createStageRuntime` with the kernels bound. */
  readonly createRuntime: (options: StageRuntimeOptions) => StageRuntime;
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** Checks manifest and weights. Default: that of the platform. */
  readonly sha256?: Sha256Hex;
}

/** One attempt to fill the weights. */
interface LoadUnderWay {
  lastProgressMs: number;
}

/** The right to use the runtime's KV pages and scratch memory. */
export interface RuntimeLease {
  readonly runtime: StageRuntime;
  readonly config: ModelConfig;
  /** Equal to that of the owner's earlier lease when nobody else has had the pages in between. */
  readonly kvGeneration: number;
}

export class RuntimeHost {
  readonly #options: RuntimeHostOptions;
  #manifest: Manifest | null = null;
  #runtime: StageRuntime | null = null;
  #ready = false;
  #load: LoadUnderWay | null = null;
  #holder: { readonly owner: string; lastUsedMs: number } | null = null;
  /** Whose tokens are in the pages. */
  #contents: { readonly owner: string; readonly generation: number } | null = null;

  constructor(options: RuntimeHostOptions) {
    this.#options = options;
  }

  /** The model's shape, from its manifest alone. */
  async readConfig(assets: AssetSource): Promise<Result<ModelConfig, StageFailure>> {
    try {
      return ok((await this.#readManifest(assets)).config);
    } catch (thrown) {
      return err(loadFailure(thrown));
    }
  }

  /** Lends the runtime to `owner`, loading the weights first if nobody has. Asking again renews the lease. */
  async acquire(owner: string, assets: AssetSource): Promise<Result<RuntimeLease, StageFailure>> {
    const nowMs = this.#options.clock.nowMs();
    const other = this.#holder;
    if (other !== null && other.owner !== owner && nowMs - other.lastUsedMs < LEASE_STALE_MS) {
      return err({ code: 'busy', retryable: true, message: 'another replica uses the memory of this isolate' });
    }
    const holder = { owner, lastUsedMs: nowMs };
    this.#holder = holder;
    try {
      const runtime = await this.#loaded(assets);
      if (this.#contents?.owner !== owner) {
        this.#contents = { owner, generation: randomId(this.#options.entropy) };
      }
      this.touch(owner, this.#options.clock.nowMs());
      return ok({ runtime, config: runtime.options.config, kvGeneration: this.#contents.generation });
    } catch (thrown) {
      // The owner may have asked again meanwhile, and have got what this call did not.
      if (this.#holder === holder) {
        this.#holder = null;
      }
      return err(loadFailure(thrown));
    }
  }

  /** The owner's lease while it has one; to be used at once, for it may end at any time. */
  leaseOf(owner: string): RuntimeLease | null {
    const [runtime, contents] = [this.#runtime, this.#contents];
    if (this.#holder?.owner !== owner || contents?.owner !== owner || runtime === null || !this.#ready) {
      return null;
    }
    return { runtime, config: runtime.options.config, kvGeneration: contents.generation };
  }

  /** Tells that the holder is alive; called with every step, whose caller knows the time. */
  touch(owner: string, nowMs: number): void {
    if (this.#holder?.owner === owner) {
      this.#holder.lastUsedMs = nowMs;
    }
  }

  /** The owner's pages hold nothing to rely on from here on: its next lease has another generation. */
  invalidateContents(owner: string): void {
    if (this.#contents?.owner === owner) {
      this.#contents = null;
    }
  }

  release(owner: string): void {
    if (this.#holder?.owner === owner) {
      this.#holder = null;
    }
  }

  async #loaded(assets: AssetSource): Promise<StageRuntime> {
    const { clock } = this.#options;
    while (this.#load !== null && clock.nowMs() - this.#load.lastProgressMs < LOAD_STALL_MS) {
      await sleep(clock, LOAD_POLL_MS);
    }
    if (this.#runtime !== null && this.#ready) {
      return this.#runtime;
    }
    const load: LoadUnderWay = { lastProgressMs: clock.nowMs() };
    this.#load = load;
    try {
      const manifest = await this.#readManifest(assets);
      this.#advance(load);
      // Once, also when a load is taken over: there is no room for two.
      this.#runtime ??= this.#options.createRuntime(runtimeOptions(manifest, this.#options.assignment));
      await this.#fill(this.#runtime, manifest, assets, load);
      return this.#runtime;
    } finally {
      if (this.#load === load) {
        this.#load = null;
      }
    }
  }

  async #fill(runtime: StageRuntime, manifest: Manifest, assets: AssetSource, load: LoadUnderWay): Promise<void> {
    const { layerStart, layerEnd, isHead } = runtime.options;
    const weightView = runtime.weightView.bind(runtime);
    const onProgress = (): void => this.#advance(load);
    const { sha256 = sha256Hex } = this.#options;
    await loadWeights({ manifest, layerStart, layerEnd, isHead, assets, weightView, sha256, onProgress });
    runtime.weightsReady();
    // Stages load side by side, but a first step passes one after the other: here the compiling overlaps.
    runtime.warmUp();
    this.#ready = true;
  }

  /** @throws when another load has taken over: what the other one has checked is not to be written again. */
  #advance(load: LoadUnderWay): void {
    if (this.#load !== load) {
      throw new Error(`no byte came for ${LOAD_STALL_MS} ms, and another load has taken over`);
    }
    load.lastProgressMs = this.#options.clock.nowMs();
  }

  async #readManifest(assets: AssetSource): Promise<Manifest> {
    if (this.#manifest !== null) {
      return this.#manifest;
    }
    const bytes = await readAsset(assets, MANIFEST_FILE, MANIFEST_BYTES_MAX);
    if (bytes === null) {
      throw new WeightLoadError('file_missing', `${MANIFEST_FILE} does not exist: deploy the stage with its assets`);
    }
    if (bytes === 'too_large') {
      throw new WeightLoadError('file_length', `${MANIFEST_FILE} is larger than ${MANIFEST_BYTES_MAX} bytes`);
    }
    const { assignment, sha256 = sha256Hex } = this.#options;
    const digest = await sha256(bytes);
    const { manifestSha256 } = assignment;
    if (digest !== manifestSha256) {
      const message = `${MANIFEST_FILE} has SHA-256 ${digest}, the plan was made for ${manifestSha256}: plan again`;
      throw new WeightLoadError('hash_mismatch', message);
    }
    this.#manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
    return this.#manifest;
  }
}

function runtimeOptions(manifest: Manifest, assignment: StageAssignment): StageRuntimeOptions {
  const { layerStart, layerEnd, numPages, numTokensMax, contextLengthMax, numLogitRowsMax } = assignment;
  const isHead = assignment.stageIndex === 0;
  return {
    config: manifest.config,
    layerStart,
    layerEnd,
    isHead,
    numPages: isHead ? numPages + NUM_FEATURE_PAGES : numPages,
    numTokensMax,
    contextLengthMax,
    numLogitRowsMax,
  };
}

/** Wrong files stay wrong until somebody deploys; a source that could not be read may answer the next time. */
const PERMANENT_ERRORS = [WeightLoadError, ManifestError, AssertionError, SyntaxError] as const;

function loadFailure(thrown: unknown): StageFailure {
  const isPermanent = PERMANENT_ERRORS.some((type) => thrown instanceof type);
  return { code: 'weights', retryable: !isPermanent, message: describeError(thrown) };
}
