/**
 * Which candidate to ask: available before reserve before open, then priority, then who has the request's key, then what
 * is left of the quota where it is getting short, then load, ties by weighted chance.
 */
import type { Backend } from './backend.ts';
import type { Standing } from './circuit-breaker.ts';

/** One backend that could take the request, as far as the choice needs it. */
export interface Candidate {
  readonly backend: Backend;
  readonly standing: Standing;
  /** Requests in flight there for this deployment. */
  readonly inFlight: number;
  /** How much it has of the request's key; 0 for one without. See affinity.ts. */
  readonly affinity: number;
  /** Among those whose quota is enough, by what is left of it: the lower first. See foresight.ts. */
  readonly rank: number;
  /** Clock ms of its last failure; orders the open ones. */
  readonly failedAt: number;
}

/** Lower is better; never: not to be asked now. `missing` has its own rule in the pool. */
const NEVER = Number.POSITIVE_INFINITY;
const RANKS: Readonly<Record<Standing, number>> = {
  available: 0,
  reserve: 1,
  open: 2,
  missing: NEVER,
  short: NEVER,
  cooldown: NEVER,
  quarantined: NEVER,
};

/** The best candidate, or undefined when none may be asked. `random` gives numbers in [0, 1). */
export function select<C extends Candidate>(candidates: readonly C[], random: () => number): C | undefined {
  let best: C[] = [];
  for (const candidate of candidates) {
    if (RANKS[candidate.standing] === NEVER) continue;
    const order = best[0] === undefined ? -1 : compare(candidate, best[0]);
    if (order < 0) best = [candidate];
    else if (order === 0) best.push(candidate);
  }
  return best.length <= 1 ? best[0] : weightedChoice(best, random);
}

function compare(a: Candidate, b: Candidate): number {
  const rank = RANKS[a.standing] - RANKS[b.standing];
  if (rank !== 0) return rank;
  // Among the open ones the least recently failed is the likeliest to be back, whatever its priority.
  if (a.standing === 'open' && a.failedAt !== b.failedAt) return a.failedAt - b.failedAt;
  if (a.backend.priority !== b.backend.priority) return a.backend.priority - b.backend.priority;
  if (a.affinity !== b.affinity) return b.affinity - a.affinity;
  if (a.rank !== b.rank) return a.rank - b.rank;
  return a.inFlight / a.backend.weight - b.inFlight / b.backend.weight;
}

function weightedChoice<C extends Candidate>(candidates: readonly C[], random: () => number): C | undefined {
  const total = candidates.reduce((sum, candidate) => sum + candidate.backend.weight, 0);
  let point = random() * total;
  for (const candidate of candidates) {
    point -= candidate.backend.weight;
    if (point < 0) return candidate;
  }
  return candidates.at(-1);
}
