/** Which of the origins that could serve a request gets it. Pure: randomness and loads are passed in. */
import { nearestWithinBound, type Candidate } from '../../shards/client/rendezvous.ts';

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
