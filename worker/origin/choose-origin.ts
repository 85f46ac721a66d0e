/** Which of the origins that could serve a request gets it. Pure: randomness and loads are passed in. */

export interface Candidate {
  readonly id: string;
  readonly weight: number;
  /** Requests that run or wait there. */
  readonly load: number;
}

/**
 * Above its fair share by this factor, an origin gets no more requests for the sake of their prefix. Mirrokni's bounded
 * loads: 1.25 keeps nearly all hits while no origin is more than a quarter above its share.
 */
const LOAD_BOUND = 1.25;

/**
 * With a key: the origin that weighted rendezvous hashing gives it, or the next in its order that is not loaded beyond
 * the bound. Without: the less loaded of two that are drawn by weight.
 * @param random uniform in [0, 1).
 */
export function chooseOrigin<T extends Candidate>(
  candidates: readonly T[],
  affinityKey: string | null,
  random: () => number,
): T | undefined {
  return affinityKey === null ? lessLoadedOfTwo(candidates, random) : nearestWithinBound(candidates, affinityKey);
}

function lessLoadedOfTwo<T extends Candidate>(candidates: readonly T[], random: () => number): T | undefined {
  const first = drawByWeight(candidates, random);
  const second = drawByWeight(
    candidates.filter((candidate) => candidate !== first),
    random,
  );
  if (first === undefined || second === undefined) {
    return first;
  }
  return relativeLoad(second) < relativeLoad(first) ? second : first;
}

function relativeLoad({ load, weight }: Candidate): number {
  // With the request added: of two idle origins the heavier is the less loaded.
  return (load + 1) / weight;
}

function drawByWeight<T extends Candidate>(candidates: readonly T[], random: () => number): T | undefined {
  let left = random() * candidates.reduce((sum, { weight }) => sum + weight, 0);
  for (const candidate of candidates) {
    left -= candidate.weight;
    if (left < 0) {
      return candidate;
    }
  }
  return candidates.at(-1);
}

function nearestWithinBound<T extends Candidate>(candidates: readonly T[], key: string): T | undefined {
  const ranked = rendezvousOrder(candidates, key);
  const totalWeight = candidates.reduce((sum, { weight }) => sum + weight, 0);
  const totalLoad = candidates.reduce((sum, { load }) => sum + load, 0);
  const isWithinBound = ({ load, weight }: T): boolean =>
    load + 1 <= Math.ceil((LOAD_BOUND * (totalLoad + 1) * weight) / totalWeight);
  return ranked.find(isWithinBound) ?? ranked[0];
}

/** Candidates in the order of the key: taking one away leaves the order of the others as it is. */
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
