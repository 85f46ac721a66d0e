/** Which replica a request goes to, by what the gateway knows of each. */
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../ops/testing/manual-clock.ts';
import { ScriptedHead } from '../../../ops/testing/scripted-head.ts';
import { placementKey } from '../placement-key.ts';
import { ReplicaSet, type Replica } from '../replica-set.ts';

const NOBODY: ReadonlySet<Replica> = new Set();

function setUp(numReplicas: number) {
  const clock = new ManualClock();
  const heads = Array.from({ length: numReplicas }, () => new ScriptedHead());
  const set = new ReplicaSet(heads, clock);
  const choose = (key: string, tried = NOBODY): number | undefined => set.choose(key, tried)?.index;
  return { clock, set, choose };
}

function replicaAt({ replicas }: ReplicaSet, index: number): Replica {
  const replica = replicas[index];
  if (replica === undefined) {
    throw new Error(`there is no replica ${index}`);
  }
  return replica;
}

/** A key whose replica this is. */
function keyOf(set: ReplicaSet, index: number): string {
  for (let key = 0; ; key++) {
    if (set.choose(`key-${key}`, NOBODY)?.index === index) {
      return `key-${key}`;
    }
  }
}

describe('placementKey', () => {
  const tokens = Array.from({ length: 40 }, (_, index) => index);

  it('is the same for prompts with the same first page and tenant, and for no others', () => {
    const key = placementKey({ promptTokens: tokens, cacheSalt: 'a' }, null);
    expect(placementKey({ promptTokens: [...tokens.slice(0, 16), 99], cacheSalt: 'a' }, null)).toBe(key);
    expect(placementKey({ promptTokens: [...tokens.slice(0, 15), 99], cacheSalt: 'a' }, null)).not.toBe(key);
    expect(placementKey({ promptTokens: tokens, cacheSalt: 'b' }, null)).not.toBe(key);
  });

  it('is the key that the client gives, for its own tenant alone', () => {
    const key = placementKey({ promptTokens: tokens, cacheSalt: 'a' }, 'bot');
    expect(placementKey({ promptTokens: [7], cacheSalt: 'a' }, 'bot')).toBe(key);
    expect(placementKey({ promptTokens: tokens, cacheSalt: 'b' }, 'bot')).not.toBe(key);
    // A key that is written like a prompt is none.
    expect(placementKey({ promptTokens: [7], cacheSalt: 'a' }, '7')).not.toBe(
      placementKey({ promptTokens: [7], cacheSalt: 'a' }, null),
    );
  });
});

describe('a replica set', () => {
  it('keeps a key at its replica and spreads keys over all', () => {
    const { choose } = setUp(3);
    const chosen = Array.from({ length: 300 }, (_, key) => choose(`key-${key}`));
    expect(chosen).toEqual(Array.from({ length: 300 }, (_, key) => choose(`key-${key}`)));
    for (const index of [0, 1, 2]) {
      expect(chosen.filter((other) => other === index).length).toBeGreaterThan(60);
    }
  });

  it('sends a key elsewhere while its replica has more than its share, and back afterwards', () => {
    const { set, choose } = setUp(2);
    const key = keyOf(set, 1);
    const works = [replicaAt(set, 1).begin(), replicaAt(set, 1).begin()];
    expect(choose(key)).toBe(0);
    works.forEach((work) => work.end());
    expect(choose(key)).toBe(1);
  });

  it('counts the work of others that a replica told of, for a while', async () => {
    const { clock, set, choose } = setUp(2);
    const key = keyOf(set, 1);
    const replica = replicaAt(set, 1);
    const work = replica.begin();
    work.accepted({ numRunning: 3, numWaiting: 1 });
    expect(replica.load).toBe(4);
    work.end();
    expect(replica.load).toBe(3);
    expect(choose(key)).toBe(0);
    await clock.wind(9_999);
    expect(choose(key)).toBe(0);
    await clock.wind(1);
    expect(replica.load).toBe(0);
    expect(choose(key)).toBe(1);
  });

  it('forgets work of which nothing was heard for very long: its request was torn down', async () => {
    const { clock, set } = setUp(1);
    const replica = replicaAt(set, 0);
    replica.begin();
    const alive = replica.begin();
    await clock.wind(180_000);
    expect(replica.load).toBe(2);
    alive.alive();
    await clock.wind(1);
    expect(replica.load).toBe(1);
  });

  it.each([
    ['full', 1_000],
    ['draining', 5_000],
    ['failed', 1_000],
  ] as const)('asks one that is %s last, for %i ms', async (reason, setBackMs) => {
    const { clock, set, choose } = setUp(2);
    const key = keyOf(set, 1);
    replicaAt(set, 1).setBack(reason);
    expect(choose(key)).toBe(0);
    expect(choose(key, new Set([replicaAt(set, 0)]))).toBe(1);
    expect(replicaAt(set, 1).setBackReason).toBe(reason);
    await clock.wind(setBackMs - 1);
    expect(choose(key)).toBe(0);
    await clock.wind(1);
    expect(choose(key)).toBe(1);
    expect(replicaAt(set, 1).setBackReason).toBeNull();
  });

  it('asks one that fails again and again ever more rarely, until it has computed something', async () => {
    const { clock, set } = setUp(1);
    const replica = replicaAt(set, 0);
    const delays: number[] = [];
    for (let failure = 0; failure < 7; failure++) {
      replica.setBack('failed');
      delays.push(replica.setBackUntilMs - clock.nowMs());
      await clock.wind(replica.setBackUntilMs - clock.nowMs());
    }
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    const work = replica.begin();
    work.accepted({ numRunning: 0, numWaiting: 1 });
    work.alive();
    replica.setBack('failed');
    expect(replica.setBackUntilMs - clock.nowMs()).toBe(1_000);
  });

  it('has nobody left when all were tried', () => {
    const { set, choose } = setUp(2);
    expect(choose('key', new Set(set.replicas))).toBeUndefined();
  });
});
