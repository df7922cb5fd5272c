/** A backend that serves the deployment that is asked for, as it stands now for this request. */
import { affinityOf } from './affinity.ts';
import type { Backend } from './backend.ts';
import { isRest, standing, type Standing } from './circuit-breaker.ts';
import { INDIFFERENT, type Need } from './foresight.ts';
import type { Entry } from './pool-state.ts';

export interface Option {
  readonly entry: Entry;
  readonly backend: Backend;
  /** Of the host or of the deployment there, whichever allows less. */
  readonly standing: Standing;
  /** Requests in flight there for this deployment. */
  readonly inFlight: number;
  /** Clock ms of its last failure. */
  readonly failedAt: number;
  /** Clock ms; 0 when it does not rest. */
  readonly restsUntil: number;
  /** Clock ms: when its quota is enough for this request; in the past when it is. */
  readonly fitsAt: number;
  /** How much it has of the request's key. */
  readonly affinity: number;
  /** Its place among those whose quota is enough: the lower first. */
  readonly rank: number;
}

/** @param need undefined for a request that spends no tokens */
export function optionOf(entry: Entry, need: Need | undefined, key: string | undefined, now: number): Option {
  const { host, backend, state, inFlight, foresight } = entry;
  const itself = standingFor(entry, need, now);
  const allowed = stricter(standing(host.state, host.inFlight, now), itself);
  const canBeAsked = allowed === 'available' || allowed === 'reserve';
  const { fitsAt, rank } =
    need !== undefined && canBeAsked ? foresight.outlook(need, now) : { fitsAt: now, rank: INDIFFERENT };
  return {
    entry,
    backend,
    standing: fitsAt > now ? 'short' : allowed,
    inFlight,
    failedAt: Math.max(host.failedAt, entry.failedAt),
    restsUntil: isRest(state) ? state.until : 0,
    fitsAt,
    affinity: key === undefined ? 0 : affinityOf(key, backend),
    rank,
  };
}

/** What was refused for its size says nothing about a smaller one. */
function standingFor({ state, inFlight, foresight }: Entry, need: Need | undefined, now: number): Standing {
  if (state.kind === 'cooldown' && state.leastTokens !== undefined && need !== undefined) {
    if (foresight.amountOf(need) < state.leastTokens) return 'available';
  }
  return standing(state, inFlight, now);
}

const STRICTNESS: Readonly<Record<Standing, number>> = {
  available: 0,
  reserve: 1,
  open: 2,
  missing: 3,
  short: 4,
  cooldown: 5,
  quarantined: 6,
};

function stricter(a: Standing, b: Standing): Standing {
  return STRICTNESS[a] >= STRICTNESS[b] ? a : b;
}
