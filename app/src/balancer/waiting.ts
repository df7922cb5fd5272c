/**
 * Is it worth waiting for somebody: for a backend of a better priority that is back in a moment, or, when nobody may be
 * asked, for whoever is back first? And when nobody may be asked and it is not: why is that so?
 */
import { roomAt, type BreakerState, type Standing } from './circuit-breaker.ts';
import type { Backend } from './backend.ts';
import type { NoneReason } from './failover.ts';

/** A backend that serves the deployment. */
export interface Waited {
  readonly backend: Backend;
  readonly standing: Standing;
  readonly entry: { readonly state: BreakerState; readonly host: { readonly state: BreakerState } };
  /** Clock ms; 0 when it does not rest. */
  readonly restsUntil: number;
  /** Clock ms: when its quota is enough for this request. */
  readonly fitsAt: number;
}

/** What a request would put up with. Times are clock ms; without one it does not wait for that. */
export interface Patience {
  /** Until then it would rather wait than be refused. */
  readonly holdUntil?: number;
  /** Until then it would rather wait than go to a worse priority. */
  readonly spillAt?: number;
  /** It waits in a line: it takes only what is available, not a backend that is failing. */
  readonly isInLine?: boolean;
  /** Who refused or failed it in this pass. */
  readonly tried: ReadonlySet<string>;
  /** Of those, the ones that throttled: they may be back before the last has refused. */
  readonly throttled?: ReadonlySet<string>;
}

/** Worth waiting for: look again then (clock ms), or when the pool has changed. */
export interface Wait {
  readonly until: number;
  readonly why: 'throttled' | 'priority';
}

/** Rests of other kinds may end too, so whoever waits looks again after this long at the latest. */
const LOOK_AROUND_MS = 250;

/** What to wait for; undefined when the request is to be served, or refused, now. */
export function worthWaiting(
  all: readonly Waited[],
  chosen: Waited | undefined,
  patience: Patience,
  now: number,
): Wait | undefined {
  const until = untilBetter(all, chosen, patience, now);
  if (until !== undefined) return { until, why: 'priority' };
  const back = untilAnybody(all, chosen, patience, now);
  return back === undefined ? undefined : { until: back, why: 'throttled' };
}

/** When somebody of a better priority than the chosen one takes requests again, in time. */
function untilBetter(
  all: readonly Waited[],
  chosen: Waited | undefined,
  patience: Patience,
  now: number,
): number | undefined {
  const { spillAt } = patience;
  if (spillAt === undefined || spillAt <= now || chosen === undefined) return undefined;
  let earliest: number | undefined;
  for (const option of all) {
    if (option.backend.priority >= chosen.backend.priority) continue;
    const at = backAt(option, patience, now);
    if (at !== undefined && at <= spillAt && (earliest === undefined || at < earliest)) earliest = at;
  }
  return earliest;
}

/** When nobody can be asked, or nobody but one whose throttle is just over and who is being asked enough. */
function untilAnybody(
  all: readonly Waited[],
  chosen: Waited | undefined,
  patience: Patience,
  now: number,
): number | undefined {
  const { holdUntil, isInLine = false } = patience;
  if (holdUntil === undefined || holdUntil <= now) return undefined;
  const hasRoom = chosen !== undefined && throttledUntil(chosen, now) === undefined;
  if (hasRoom && (!isInLine || chosen.standing === 'available')) return undefined;
  let earliest: number | undefined;
  for (const option of all) {
    const at = backAt(option, patience, now);
    if (at !== undefined && (earliest === undefined || at < earliest)) earliest = at;
  }
  if (earliest === undefined) return undefined;
  // One that is full for the moment may have room before it says so, and takes it at the end in any case.
  if (chosen === undefined && earliest > holdUntil) return undefined;
  return Math.min(earliest, holdUntil, now + LOOK_AROUND_MS);
}

/** When this one, which is throttled or was so in this pass, takes requests; undefined when that is not what it lacks. */
function backAt(option: Waited, { tried, throttled }: Patience, now: number): number | undefined {
  const { name } = option.backend;
  if (tried.has(name) && throttled?.has(name) !== true) return undefined;
  const at = throttledUntil(option, now);
  if (at !== undefined || !tried.has(name)) return at;
  return option.standing === 'available' || option.standing === 'reserve' ? now : undefined;
}

/** By its own word, or by what is left of its quota; or, when its throttle is just over, when it has room for one more. */
function throttledUntil({ entry: { state }, standing, fitsAt }: Waited, now: number): number | undefined {
  if (standing === 'short') return fitsAt;
  if (standing === 'cooldown' && state.kind === 'cooldown') return state.recoversAt;
  if (standing !== 'reserve' || state.kind !== 'returning') return undefined;
  const at = roomAt(state, now);
  return at > now ? at : undefined; // Else it is its host that has no room.
}

/** Why nobody may be asked. A throttle outweighs the rest: it is the one that waiting helps. */
export function whyNobody(all: readonly Waited[]): { readonly why: NoneReason; readonly recoversAt?: number } {
  const recoversAt = earliestRecovery(all);
  if (recoversAt !== undefined) return { why: 'throttled', recoversAt };
  if (all.every(({ standing }) => standing === 'missing')) return { why: 'missing' };
  const letInAt = earliestLettingIn(all);
  if (letInAt !== undefined) return { why: 'not-yet', recoversAt: letInAt };
  return {
    why: all.every(({ standing }) => standing === 'missing' || standing === 'quarantined') ? 'unauthorized' : 'failing',
  };
}

/** When the first of those that have not let us in yet is asked again. */
function earliestLettingIn(all: readonly Waited[]): number | undefined {
  const times = all.flatMap(
    ({
      entry: {
        host: { state },
      },
    }) => (state.kind === 'quarantined' && state.isNew ? [state.until] : []),
  );
  return times.length === 0 ? undefined : Math.min(...times);
}

/** When it is missing everywhere and nobody was asked yet, the one found missing longest ago is asked again. */
export function lastMissing<O extends Waited>(all: readonly O[], tried: ReadonlySet<string>): O | undefined {
  if (tried.size > 0 || !all.every(({ standing }) => standing === 'missing')) return undefined;
  return all.toSorted((a, b) => a.restsUntil - b.restsUntil)[0];
}

/** When the first of those that are throttled is back, by its own word. */
function earliestRecovery(all: readonly Waited[]): number | undefined {
  const recoveries = all.flatMap(({ entry: { state }, standing, fitsAt }) => {
    if (standing === 'short') return [fitsAt];
    return standing === 'cooldown' && state.kind === 'cooldown' ? [state.recoversAt] : [];
  });
  return recoveries.length === 0 ? undefined : Math.min(...recoveries);
}

/** Of a better priority than the chosen one and throttled: whom a request is spilled from. */
export function spilledFrom(
  all: readonly Waited[],
  chosen: Waited,
  throttled: ReadonlySet<string> | undefined,
  now: number,
): string | undefined {
  let best: Backend | undefined;
  for (const option of all) {
    const { backend } = option;
    if (backend.priority >= (best ?? chosen.backend).priority) continue;
    if (throttledUntil(option, now) !== undefined || throttled?.has(backend.name) === true) best = backend;
  }
  return best?.name;
}
