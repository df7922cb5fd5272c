/**
 * May this be asked? One state machine, kept per host and per backend × deployment; pure, time is a value.
 *
 *   closed ──hard failure, or second soft one in a row──▶ open ───────┐
 *     │ ──429──▶ cooldown ──────────────────────────────────────────┤  `until` has passed, somebody asks
 *     │ ──404 DeploymentNotFound──▶ missing ────────────────────────┤
 *     │ ──401/403──▶ quarantined ───────────────────────────────────┤
 *     │                                                              ▼
 *     ◀──16 in flight, or 10 s── recovering ◀──first content── probing ──fails──▶ back to rest, longer
 *                                    └──fails──▶ back to rest, longer
 *
 * probing: one request is out to see; another may follow when it has heard nothing for a while.
 * recovering: in flight at most `limit`, which grows by one with every answer (it doubles a round trip).
 */

/** Out of rotation until a time (clock ms); `times` in a row makes the next rest longer. */
export type Rest =
  /** The backend asked for it. `recoversAt` is what it said; the probe goes out at `until`, earlier when it said long. */
  | { readonly kind: 'cooldown'; readonly until: number; readonly recoversAt: number; readonly times: number }
  | { readonly kind: 'open'; readonly until: number; readonly since: number; readonly times: number }
  | { readonly kind: 'missing'; readonly until: number; readonly since: number }
  | { readonly kind: 'quarantined'; readonly until: number; readonly since: number };

export type BreakerState =
  | { readonly kind: 'closed'; readonly softFailures: number }
  | Rest
  | { readonly kind: 'probing'; readonly after: Rest; readonly askedAt: number }
  | { readonly kind: 'recovering'; readonly after: Rest; readonly since: number; readonly limit: number };

/**
 * available: ask it. reserve: only when nothing is available. open: only when nothing else is left (breakers alone
 * never refuse a request). missing: only when it is missing everywhere. cooldown, quarantined: not before `until`.
 */
export type Standing = 'available' | 'reserve' | 'open' | 'missing' | 'cooldown' | 'quarantined';

export const CLOSED: BreakerState = { kind: 'closed', softFailures: 0 };

const SOFT_FAILURES_TO_OPEN = 2;
const OPEN_FIRST_MS = 1000;
const COOLDOWN_FIRST_MS = 1000;
const REST_LONGEST_MS = 60_000;
const MISSING_MS = 300_000;
const QUARANTINE_MS = 60_000;
const RAMP_FIRST_LIMIT = 2;
const RAMP_FULL_LIMIT = 16;
const RAMP_LONGEST_MS = 10_000;

/** How long a probe may stay unanswered before another may follow. A 429 comes back fast; an outage may be slow. */
const PROBE_PATIENCE_MS: Readonly<Record<Rest['kind'], number>> = {
  cooldown: 250,
  open: 5000,
  missing: 1000,
  quarantined: 5000,
};

/** How this may be used now, with so many requests in flight there. */
export function standing(state: BreakerState, inFlight: number, now: number): Standing {
  switch (state.kind) {
    case 'closed':
      return 'available';
    case 'probing':
      return now - state.askedAt >= PROBE_PATIENCE_MS[state.after.kind] ? 'available' : 'reserve';
    case 'recovering':
      return inFlight < state.limit || now - state.since >= RAMP_LONGEST_MS ? 'available' : 'reserve';
    case 'cooldown':
    case 'open':
    case 'missing':
    case 'quarantined':
      return now >= state.until ? 'available' : state.kind;
    default:
      return state satisfies never;
  }
}

/** A request goes out. After its rest (or once more while probing) it is the probe; before, the last resort. */
export function onAsked(state: BreakerState, now: number): BreakerState {
  if (state.kind === 'probing') return { ...state, askedAt: now };
  return isRest(state) && now >= state.until ? { kind: 'probing', after: state, askedAt: now } : state;
}

/** Content arrived, or an answer that only a working backend gives. */
export function onSuccess(state: BreakerState, now: number): BreakerState {
  switch (state.kind) {
    case 'closed':
      return state.softFailures === 0 ? state : CLOSED;
    case 'probing':
      return state.after.kind === 'missing' || state.after.kind === 'quarantined'
        ? CLOSED
        : { kind: 'recovering', after: state.after, since: now, limit: RAMP_FIRST_LIMIT };
    case 'recovering':
      return state.limit + 1 >= RAMP_FULL_LIMIT || now - state.since >= RAMP_LONGEST_MS
        ? CLOSED
        : { ...state, limit: state.limit + 1 };
    // Asked in spite of its rest, as the last resort, and it answers.
    case 'open':
      return { kind: 'recovering', after: state, since: now, limit: RAMP_FIRST_LIMIT };
    case 'missing':
      return CLOSED;
    case 'cooldown':
    case 'quarantined':
      return state;
    default:
      return state satisfies never;
  }
}

/**
 * It refused for its quota. A wait that it names is kept to the millisecond; one that it does not name starts at 1 s
 * and doubles. The probe goes out after a minute at the latest: waits of a day have been seen for quotas of a minute.
 */
export function onThrottled(state: BreakerState, retryAfterMs: number | undefined, now: number): BreakerState {
  const times = restedBefore(state, 'cooldown') + 1;
  const waitMs = retryAfterMs ?? doubled(COOLDOWN_FIRST_MS, times);
  return { kind: 'cooldown', until: now + Math.min(waitMs, REST_LONGEST_MS), recoversAt: now + waitMs, times };
}

/**
 * It failed. `hard`: it said so or cannot be reached, out of rotation at once. `soft`: a reset, silence or a blamed
 * 500, which may be one request's bad luck: at the second in a row. A probe that fails counts as hard.
 */
export function onFailure(state: BreakerState, weight: 'hard' | 'soft', now: number): BreakerState {
  if (weight === 'soft' && state.kind === 'closed' && state.softFailures + 1 < SOFT_FAILURES_TO_OPEN) {
    return { kind: 'closed', softFailures: state.softFailures + 1 };
  }
  if (state.kind === 'open' && now < state.until) return state; // A last resort's failure is no news.
  const times = restedBefore(state, 'open') + 1;
  return { kind: 'open', since: now, until: now + doubled(OPEN_FIRST_MS, times), times };
}

/** It does not know the deployment. New ones take minutes to appear. */
export function onMissing(now: number): BreakerState {
  return { kind: 'missing', since: now, until: now + MISSING_MS };
}

/** It refused our own credential. */
export function onUnauthorized(state: BreakerState, now: number): BreakerState {
  const before = state.kind === 'probing' || state.kind === 'recovering' ? state.after : state;
  return { kind: 'quarantined', since: before.kind === 'quarantined' ? before.since : now, until: now + QUARANTINE_MS };
}

/** True for the states that only time ends. */
export function isRest(state: BreakerState): state is Rest {
  return state.kind !== 'closed' && state.kind !== 'probing' && state.kind !== 'recovering';
}

/** Rests of this kind in a row, the present one included. */
function restedBefore(state: BreakerState, kind: 'cooldown' | 'open'): number {
  const rest = state.kind === 'probing' || state.kind === 'recovering' ? state.after : state;
  return rest.kind === kind ? rest.times : 0;
}

/** firstMs · 2^(times − 1), at most a minute: 1 s, 2 s, 4 s, … */
function doubled(firstMs: number, times: number): number {
  return Math.min(firstMs * 2 ** (times - 1), REST_LONGEST_MS);
}
