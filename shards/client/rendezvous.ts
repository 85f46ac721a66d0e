/**
 * Which of several servers a key belongs to. Weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998) orders the servers for each key, and taking one away leaves the order of the
 * others as it is. A bound on the load (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads",
 * 2018) sends a key past servers that have more than their share. Pure: loads are passed in.
 */

export interface Candidate {
  readonly id: string;
  /** Its fair share of the load, in proportion to the others' weights. */
  readonly weight: number;
  /** What runs or waits there. */
  readonly load: number;
}

/**
 * Above its fair share by this factor a server gets nothing more for the sake of a key. 1.25 keeps nearly all hits while
 * no server is more than a quarter above its share.
 */
const LOAD_BOUND = 1.25;

/** The first in the key's order that is not loaded beyond the bound. */
export function nearestWithinBound<T extends Candidate>(candidates: readonly T[], key: string): T | undefined {
  const ranked = rendezvousOrder(candidates, key);
  const totalWeight = candidates.reduce((sum, { weight }) => sum + weight, 0);
  const totalLoad = candidates.reduce((sum, { load }) => sum + load, 0);
  const isWithinBound = ({ load, weight }: T): boolean =>
    load + 1 <= Math.ceil((LOAD_BOUND * (totalLoad + 1) * weight) / totalWeight);
  return ranked.find(isWithinBound) ?? ranked[0];
}

/** Candidates in the order of the key. */
export function rendezvousOrder<T extends Pick<Candidate, 'id' | 'weight'>>(
  candidates: readonly T[],
  key: string,
): T[] {
  const score = ({ id, weight }: T): number => -weight / Math.log(hashToUnit(`${id}\u0000${key}`));
  return candidates
    .map((candidate) => ({ candidate, score: score(candidate) }))
    .sort((a, b) => b.score - a.score)
    .map(({ candidate }) => candidate);
}

/** FNV-1a with Murmur's finaliser, into the open interval (0, 1). */
export function hashToUnit(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return ((hash >>> 0) + 0.5) / 2 ** 32;
}
