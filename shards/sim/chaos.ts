/** Lets faults happen to a cluster: which ones and how often is planned, when and to whom is up to the seed. */
import type { SimCluster } from './cluster.ts';
import type { EventQueue } from './event-queue.ts';
import type { ClusterFault, FaultCounts, FaultPlan } from './faults.ts';
import type { ModelRelease } from './model-files.ts';
import type { SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { Ending, ShardObject, SimShard } from './shard.ts';

export interface ChaosOptions {
  readonly cluster: SimCluster;
  readonly network: SimNetwork;
  readonly events: EventQueue;
  readonly random: Random;
  readonly plan: FaultPlan;
  readonly counts: FaultCounts;
  /** What some shards are ahead with for a while. */
  readonly nextRelease: ModelRelease;
  /** The process of the clients, which a partition may cut off. */
  readonly clientName: string;
}

const DOWN_MS = { min: 5, max: 4_000 } as const;
const PARTITION_MS = { min: 100, max: 20_000 } as const;
const SLOW_MS = { min: 200, max: 15_000 } as const;
const SLOWNESS = { min: 5, max: 300 } as const;
const FULL_DISK_MS = { min: 500, max: 20_000 } as const;
const SKEW_MS = { min: 100, max: 15_000 } as const;
/** Clocks are set, by a little or by a lot, in both directions. */
const CLOCK_JUMP_MS = { min: 10, max: 15 * 60_000 } as const;

export class Chaos {
  readonly #options: ChaosOptions;
  readonly #releases = new Map<SimShard, ModelRelease>();
  #isOver = false;

  constructor(options: ChaosOptions) {
    this.#options = options;
  }

  start(): void {
    for (const [kind, everyMs] of this.#options.plan.clusterEveryMs) {
      this.#scheduleNext(kind, everyMs);
    }
  }

  /** Faults stop; whatever is down, cut off, slow, full or ahead comes back. Clocks stay as they are. */
  end(): void {
    const { cluster, network } = this.#options;
    this.#isOver = true;
    network.isCalm = true;
    network.heal();
    for (const shard of cluster.shards) {
      if (this.#releases.has(shard)) {
        this.#releases.delete(shard);
        shard.stop('the release is taken back', 'kill');
      }
      this.#restart(shard);
      shard.slowDown(1);
      shard.storage.isFull = false;
      shard.storage.onNextWrite = null;
    }
  }

  #scheduleNext(kind: ClusterFault, everyMs: number): void {
    this.#later(this.#options.random.exponential(everyMs), kind, () => {
      if (this.#inject(kind)) {
        this.#options.counts.add(kind);
      }
      this.#scheduleNext(kind, everyMs);
    });
  }

  #later(delayMs: number, label: string, callback: () => void): void {
    this.#options.events.schedule(delayMs, label, () => {
      if (!this.#isOver) {
        callback();
      }
    });
  }

  #between({ min, max }: { readonly min: number; readonly max: number }): number {
    // Short ones and long ones alike, not mostly long ones.
    return min * (max / min) ** this.#options.random.float();
  }

  /** @returns whether there was something for it to happen to. */
  #inject(kind: ClusterFault): boolean {
    const { random, cluster } = this.#options;
    if (kind === 'partition') {
      return this.#partition();
    }
    const shard = random.pick(cluster.shards);
    return shard.object !== null && this.#injectInto(shard, shard.object, kind);
  }

  #injectInto(shard: SimShard, { process }: ShardObject, kind: Exclude<ClusterFault, 'partition'>): boolean {
    const injections = {
      kill: () => this.#stop(shard, 'kill'),
      kill_while_writing: () => this.#killWhileWriting(shard),
      reset: () => this.#stop(shard, 'reset'),
      slow_stage: () => this.#slowDown(shard),
      full_disk: () => this.#fillDisk(shard),
      clock_jump: () => this.#setClock(process),
      version_skew: () => this.#deploy(shard),
    };
    return injections[kind]();
  }

  #partition(): boolean {
    const { random, cluster, network, clientName } = this.#options;
    const names = [...cluster.shards.map(({ name }) => name), clientName];
    const far = new Set(names.filter(() => random.chance(0.5)));
    if (far.size === 0 || far.size === names.length) {
      return false;
    }
    network.partition(far);
    this.#later(this.#between(PARTITION_MS), 'the network heals', () => network.heal());
    return true;
  }

  #stop(shard: SimShard, ending: Ending): boolean {
    shard.stop(`${shard.name} was ended (${ending})`, ending);
    this.#later(this.#between(DOWN_MS), `${shard.name} starts`, () => this.#restart(shard));
    return true;
  }

  /** Waits for the next write, which will not be durable yet when the isolate goes. */
  #killWhileWriting(shard: SimShard): boolean {
    shard.storage.onNextWrite = () =>
      this.#later(0, `${shard.name} ends while it writes`, () => {
        if (shard.object !== null) {
          this.#options.counts.add('kill_while_writing');
          this.#stop(shard, 'kill_while_writing');
        }
      });
    // It counts when it happens.
    return false;
  }

  #restart(shard: SimShard): void {
    if (shard.object === null) {
      shard.start(this.#releases.get(shard));
    }
  }

  #slowDown(shard: SimShard): boolean {
    shard.slowDown(this.#between(SLOWNESS));
    this.#later(this.#between(SLOW_MS), `${shard.name} is fast again`, () => shard.slowDown(1));
    return true;
  }

  #setClock(process: SimProcess): boolean {
    process.clockOffsetMs += (this.#options.random.float() * 2 - 1) * this.#between(CLOCK_JUMP_MS);
    return true;
  }

  #fillDisk(shard: SimShard): boolean {
    shard.storage.isFull = true;
    this.#later(this.#between(FULL_DISK_MS), `${shard.name} has room again`, () => {
      shard.storage.isFull = false;
    });
    return true;
  }

  /** One stage gets the next release and is alone with it until it is taken back. */
  #deploy(shard: SimShard): boolean {
    if (this.#releases.has(shard)) {
      return false;
    }
    this.#releases.set(shard, this.#options.nextRelease);
    shard.stop('a release is deployed', 'kill');
    this.#restart(shard);
    this.#later(this.#between(SKEW_MS), `the release of ${shard.name} is taken back`, () => {
      this.#releases.delete(shard);
      shard.stop('the release is taken back', 'kill');
      this.#restart(shard);
    });
    return true;
  }
}
