/**
 * May this be asked? One state machine, kept per host and per backend × deployment; pure, time is a value.
 *
 *   closed ──hard failure, or second soft one in a row──▶ open ───────┐
 *     │ ──404 DeploymentNotFound──▶ missing ────────────────────────┤  `until` has passed, somebody asks
 *     │ ──401/403──▶ quarantined ───────────────────────────────────┤
 *     │                                                              ▼
 *     ◀──16 in flight, or 10 s── recovering ◀──first content── probing ──fails──▶ back to rest, longer
 *     │                              └──fails──▶ back to rest, longer
 *     │
 *     │ ──429──▶ cooldown ──`until` has passed, somebody asks──▶ returning ──429──▶ cooldown
 *     ◀──16 taken without a 429 between them, or 10 s────────────────┘
 *
 * probing: one request is out to see; another may follow when it has heard nothing for a while.
 * recovering: in flight at most `limit`, which grows by one with every answer (it doubles a round trip).
 * returning: of those that may still be refused at most `window`, which grows by one with every one that was taken. What
 * was throttled has a quota to spare or has none, however many answers it is writing; and a 429 comes as fast as the last.
 */

/**
 * The backend asked for it. `recoversAt` is what it said; a request goes out to see at `until`, earlier when it said
 * long. `times`: so often in a row it named no wait. `heardAfterMs`: so long its 429 took.
 */
export interface Cooldown {
  readonly kind: 'cooldown';
  readonly until: number;
  readonly recoversAt: number;
  readonly times: number;
  readonly heardAfterMs: number;
  /** It refuses those of so many tokens and more; smaller ones may be taken. Absent: it refuses all. */
  readonly leastTokens?: number;
}

/** A throttle is over. `asked`: when those were sent that may still be refused, the oldest first. */
export interface Returning {
  readonly kind: 'returning';
  readonly after: Cooldown;
  readonly since: number;
  readonly window: number;
  readonly asked: readonly number[];
  /** In a row. */
  readonly softFailures: number;
}

/** Out of rotation until a time (clock ms); `times` in a row makes the next rest longer. */
export type Rest =
  | Cooldown
  | { readonly kind: 'open'; readonly until: number; readonly since: number; readonly times: number }
  | { readonly kind: 'missing'; readonly until: number; readonly since: number }
  /** `isNew`: it never let us in, and it is early days. */
  | { readonly kind: 'quarantined'; readonly until: number; readonly since: number; readonly isNew: boolean };

export type BreakerState =
  | { readonly kind: 'closed'; readonly softFailures: number }
  | Rest
  | { readonly kind: 'probing'; readonly after: Failing; readonly askedAt: number }
  | { readonly kind: 'recovering'; readonly after: Failing; readonly since: number; readonly limit: number }
  | Returning;

type Failing = Exclude<Rest, Cooldown>;

/**
 * available: ask it. reserve: only when nothing is available. open: only when nothing else is left (breakers alone
 * never refuse a request). missing: only when it is missing everywhere. cooldown, quarantined: not before `until`.
 * short: what is left of its quota is not enough for this request.
 */
export type Standing = 'available' | 'reserve' | 'open' | 'missing' | 'short' | 'cooldown' | 'quarantined';

export const CLOSED: BreakerState = { kind: 'closed', softFailures: 0 };

const SOFT_FAILURES_TO_OPEN = 2;
const OPEN_FIRST_MS = 1000;
const COOLDOWN_FIRST_MS = 1000;
const REST_LONGEST_MS = 60_000;
const MISSING_MS = 300_000;
const QUARANTINE_MS = 60_000;
const QUARANTINE_WHILE_NEW_MS = 5000;
const RAMP_FIRST_LIMIT = 2;
const RAMP_FULL_LIMIT = 16;
const RAMP_LONGEST_MS = 10_000;
/** Twice as long as the last 429 took, a backend has taken what it was asked. Within these bounds. */
const REFUSAL_SHORTEST_MS = 20;
const REFUSAL_LONGEST_MS = 250;

/** How long a probe may stay unanswered before another may follow. */
const PROBE_PATIENCE_MS: Readonly<Record<Failing['kind'], number>> = {
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
    case 'returning':
      return roomAt(state, now) <= now ? 'available' : 'reserve';
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
  if (state.kind === 'returning') {
    const { asked, window } = heard(state, now);
    return { ...state, asked: [...asked, now], window };
  }
  if (!isRest(state) || now < state.until) return state;
  return state.kind === 'cooldown'
    ? { kind: 'returning', after: state, since: now, window: 1, asked: [now], softFailures: 0 }
    : { kind: 'probing', after: state, askedAt: now };
}

/** When one more may be asked without harm to a backend whose throttle is just over: clock ms, `now` at the earliest. */
export function roomAt(state: Returning, now: number): number {
  if (now - state.since >= RAMP_LONGEST_MS) return now;
  const { asked, window } = heard(state, now);
  const last = asked[asked.length - window];
  return last === undefined ? now : last + refusalMs(state);
}

/** The state as it is now: what was not refused in time was taken. */
function heard(state: Returning, now: number): Pick<Returning, 'asked' | 'window'> {
  const longest = refusalMs(state);
  const asked = state.asked.filter((at) => now - at < longest);
  return { asked, window: state.window + state.asked.length - asked.length };
}

function refusalMs({ after }: Returning): number {
  return Math.min(Math.max(2 * after.heardAfterMs, REFUSAL_SHORTEST_MS), REFUSAL_LONGEST_MS);
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
    case 'returning':
      return onTaken(state, now);
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

/** One of those that might have been refused was not; which of them does not matter. */
function onTaken(state: Returning, now: number): BreakerState {
  const { asked, window } = heard(state, now);
  const grown = window + (asked.length > 0 ? 1 : 0);
  if (grown >= RAMP_FULL_LIMIT || now - state.since >= RAMP_LONGEST_MS) return CLOSED;
  return { ...state, softFailures: 0, window: grown, asked: asked.slice(1) };
}

/**
 * It refused for its quota. A wait that it names is kept to the millisecond; one that it does not name starts at 1 s
 * and doubles. A request goes out after a minute at the latest: waits of a day have been seen for quotas of a minute.
 * @param heardAfterMs so long the refusal took
 * @param leastTokens from so many on it refuses; absent: all
 */
export function onThrottled(
  state: BreakerState,
  retryAfterMs: number | undefined,
  heardAfterMs: number,
  now: number,
  leastTokens?: number,
): BreakerState {
  const times = retryAfterMs === undefined ? restedBefore(state, 'cooldown') + 1 : 0;
  const waitMs = retryAfterMs ?? doubled(COOLDOWN_FIRST_MS, times);
  const until = now + Math.min(waitMs, REST_LONGEST_MS);
  const cooldown: Cooldown = { kind: 'cooldown', until, recoversAt: now + waitMs, times, heardAfterMs };
  return leastTokens === undefined ? cooldown : { ...cooldown, leastTokens };
}

/**
 * It failed. `hard`: it said so or cannot be reached, out of rotation at once. `soft`: a reset, silence or a blamed
 * 500, which may be one request's bad luck: at the second in a row. A probe that fails counts as hard.
 */
export function onFailure(state: BreakerState, weight: 'hard' | 'soft', now: number): BreakerState {
  if (weight === 'soft' && (state.kind === 'closed' || state.kind === 'returning')) {
    const softFailures = state.softFailures + 1;
    if (softFailures < SOFT_FAILURES_TO_OPEN) return { ...state, softFailures };
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
export function onUnauthorized(state: BreakerState, isNew: boolean, now: number): BreakerState {
  const before = restBefore(state);
  const since = before.kind === 'quarantined' ? before.since : now;
  return { kind: 'quarantined', since, until: now + (isNew ? QUARANTINE_WHILE_NEW_MS : QUARANTINE_MS), isNew };
}

/** True for the states that only time ends. */
export function isRest(state: BreakerState): state is Rest {
  return !('after' in state) && state.kind !== 'closed';
}

/** Rests of this kind in a row, the present one included. */
function restedBefore(state: BreakerState, kind: 'cooldown' | 'open'): number {
  const rest = restBefore(state);
  return rest.kind === kind ? rest.times : 0;
}

/** What it is coming back from, or the state itself. */
function restBefore(state: BreakerState): BreakerState {
  return 'after' in state ? state.after : state;
}

/** firstMs · 2^(times − 1), at most a minute: 1 s, 2 s, 4 s, … */
function doubled(firstMs: number, times: number): number {
  return Math.min(firstMs * 2 ** (times - 1), REST_LONGEST_MS);
}
