/** When nobody may be asked: is it worth waiting for somebody, and if not, why is that so? */
import type { BreakerState, Standing } from './circuit-breaker.ts';
import type { NoneReason } from './failover.ts';

/** A backend that serves the deployment. */
export interface Option {
  readonly standing: Standing;
  readonly entry: { readonly state: BreakerState };
  /** Clock ms; 0 when it does not rest. */
  readonly restsUntil: number;
}

/** What a request would put up with. */
interface Patience {
  /** Clock ms: so long it would rather wait than be refused; absent: not at all. */
  readonly holdUntil?: number;
  /** It waits in a line: it takes only what is available, not what is just coming back from a throttle. */
  readonly patient?: boolean;
}

/** A backend that is just back is asked by so many; whoever waits looks again after this long at the latest. */
const LOOK_AGAIN_MS = 50;

/** When to look again, for a request that would rather wait; undefined when it is to be served, or refused, now. */
export function worthWaiting(
  all: readonly Option[],
  chosen: Option | undefined,
  { holdUntil, patient = false }: Patience,
  now: number,
): number | undefined {
  if (holdUntil === undefined) return undefined;
  if (chosen !== undefined) {
    const isJustBack = chosen.standing === 'reserve' && isAfterThrottle(chosen.entry.state);
    return patient && isJustBack ? now + LOOK_AGAIN_MS : undefined;
  }
  const recoversAt = earliestRecovery(all);
  return recoversAt !== undefined && recoversAt <= holdUntil ? recoversAt : undefined;
}

/** Why nobody may be asked. A throttle outweighs the rest: it is the one that waiting helps. */
export function whyNobody(all: readonly Option[]): { readonly why: NoneReason; readonly recoversAt?: number } {
  const recoversAt = earliestRecovery(all);
  if (recoversAt !== undefined) return { why: 'throttled', recoversAt };
  if (all.every(({ standing }) => standing === 'missing')) return { why: 'missing' };
  return {
    why: all.every(({ standing }) => standing === 'missing' || standing === 'quarantined') ? 'unauthorized' : 'failing',
  };
}

/** When it is missing everywhere and nobody was asked yet, the one found missing longest ago is asked again. */
export function lastMissing<O extends Option>(all: readonly O[], tried: ReadonlySet<string>): O | undefined {
  if (tried.size > 0 || !all.every(({ standing }) => standing === 'missing')) return undefined;
  return all.toSorted((a, b) => a.restsUntil - b.restsUntil)[0];
}

/** When the first of those that are throttled is back, by its own word. */
function earliestRecovery(all: readonly Option[]): number | undefined {
  const recoveries = all.flatMap(({ entry: { state }, standing }) =>
    standing === 'cooldown' && state.kind === 'cooldown' ? [state.recoversAt] : [],
  );
  return recoveries.length === 0 ? undefined : Math.min(...recoveries);
}

function isAfterThrottle(state: BreakerState): boolean {
  return (state.kind === 'probing' || state.kind === 'recovering') && state.after.kind === 'cooldown';
}
