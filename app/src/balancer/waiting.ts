/** When nobody may be asked: is it worth waiting for somebody, and if not, why is that so? */
import type { Backend } from './backend.ts';
import type { BreakerState, Standing } from './circuit-breaker.ts';
import type { NoneReason } from './failover.ts';

/** A backend that serves the deployment. */
export interface Option {
  readonly backend: Backend;
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
  /** Of those that were tried in this pass, the ones that throttled: they may be back before the last has refused. */
  readonly throttled?: ReadonlySet<string>;
}

/** A backend that is just back is asked by few at first; whoever waits looks again after this long at the latest. */
const LOOK_AGAIN_MS = 50;
/** A 429 comes back fast. Without one for so long after its rest, a backend is taken to be back, however slowly it answers. */
const JUST_BACK_MS = 500;
/** Rests of other kinds may end too. */
const LOOK_AROUND_MS = 250;

/** When to look again, for a request that would rather wait; undefined when it is to be served, or refused, now. */
export function worthWaiting(
  all: readonly Option[],
  chosen: Option | undefined,
  { holdUntil, patient = false, throttled }: Patience,
  now: number,
): number | undefined {
  if (holdUntil === undefined) return undefined;
  if (chosen !== undefined && (!patient || chosen.standing === 'available')) return undefined;
  if (chosen?.standing === 'reserve' && isJustBack(chosen.entry.state, now)) return now + LOOK_AGAIN_MS;
  const isBack = ({ backend, standing }: Option): boolean =>
    throttled?.has(backend.name) === true && (standing === 'available' || standing === 'reserve');
  if (chosen === undefined && all.some(isBack)) return now;
  const recoversAt = earliestRecovery(all);
  return recoversAt !== undefined && recoversAt <= holdUntil ? Math.min(recoversAt, now + LOOK_AROUND_MS) : undefined;
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

function isJustBack(state: BreakerState, now: number): boolean {
  if (state.kind !== 'probing' && state.kind !== 'recovering') return false;
  return state.after.kind === 'cooldown' && now - state.after.until < JUST_BACK_MS;
}
