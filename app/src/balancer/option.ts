/** A backend that serves the deployment that is asked for, as it stands now. */
import type { Backend } from './backend.ts';
import { isRest, standing, type Standing } from './circuit-breaker.ts';
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
}

export function optionOf(entry: Entry, now: number): Option {
  const { host, backend, state, inFlight } = entry;
  return {
    entry,
    backend,
    standing: stricter(standing(host.state, host.inFlight, now), standing(state, inFlight, now)),
    inFlight,
    failedAt: Math.max(host.failedAt, entry.failedAt),
    restsUntil: isRest(state) ? state.until : 0,
  };
}

const STRICTNESS: Readonly<Record<Standing, number>> = {
  available: 0,
  reserve: 1,
  open: 2,
  missing: 3,
  cooldown: 4,
  quarantined: 5,
};

function stricter(a: Standing, b: Standing): Standing {
  return STRICTNESS[a] >= STRICTNESS[b] ? a : b;
}
