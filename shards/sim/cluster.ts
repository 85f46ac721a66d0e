/** All replicas of a simulated model, and the clients' way to their heads. */
import type { EngineStats, GenerateRequest, HeadClient } from '../engine/protocol.ts';
import type { HeadEngine } from '../engine/engine.ts';
import { spoilRequest, type Canary } from './canary.ts';
import type { SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';
import { SimShard, type ShardOptions } from './shard.ts';
import { carryStream } from './sim-stream.ts';

export type ClusterOptions = Omit<ShardOptions, 'replicaIndex' | 'stageIndex'>;

export class SimReplica {
  readonly index: number;
  readonly shards: readonly SimShard[];
  readonly #network: SimNetwork;
  readonly #canary: Canary | null;

  constructor(index: number, options: ClusterOptions) {
    this.index = index;
    this.#network = options.network;
    this.#canary = options.canary;
    this.shards = Array.from(
      { length: options.plan.stageCount },
      (_, stageIndex) => new SimShard({ ...options, replicaIndex: index, stageIndex }),
    );
    for (const shard of this.shards) {
      shard.joinRing(this.shards);
    }
  }

  get head(): SimShard {
    return this.shards[0] as SimShard;
  }

  /** Null while its head is down. */
  get engine(): HeadEngine | null {
    const role = this.head.object?.role;
    return role?.kind === 'head' ? role.engine : null;
  }

  /** Asks the head something from the process `from`. */
  call<T>(from: SimProcess, name: string, run: (engine: HeadEngine, process: SimProcess) => Promise<T>): Promise<T> {
    const object = this.head.object;
    if (object === null || object.role.kind !== 'head') {
      return Promise.reject(new Error(`${this.head.name} is down`));
    }
    const { engine } = object.role;
    return this.#network.call(from, object.process, name, () => run(engine, object.process));
  }

  /**
   * The head as a client in the process `from` reaches it.
   * @param cutAfterMs when the stream of a request breaks, if it does
   */
  clientIn(from: SimProcess, cutAfterMs: (request: GenerateRequest) => number | null): HeadClient {
    return {
      generate: (request: GenerateRequest) =>
        this.call(from, 'generate', async (engine, process) => {
          const stream = await engine.generate(structuredClone(spoilRequest(this.#canary, request)));
          const route = { network: this.#network, from: process, to: from, cutAfterMs: cutAfterMs(request) };
          return carryStream(stream, route);
        }),
      stats: (): Promise<EngineStats> =>
        this.call(from, 'stats', async (engine) => structuredClone(await engine.stats())),
    };
  }
}

export class SimCluster {
  readonly replicas: readonly SimReplica[];

  constructor(options: ClusterOptions) {
    this.replicas = Array.from({ length: options.plan.numReplicas }, (_, index) => new SimReplica(index, options));
  }

  get shards(): readonly SimShard[] {
    return this.replicas.flatMap((replica) => replica.shards);
  }

  start(): void {
    for (const shard of this.shards) {
      shard.start();
    }
  }
}
