// How much of a limit is used up, under one of the three rules by which a service may count: a fixed window, a sliding
// one, or a bucket that leaks. Which of them Azure uses for what is not known, so no policy may be tuned to one.
// Pure: (state, rule, now) → state. Amounts are tokens or requests, times are ms.

export type WindowKind = 'fixed' | 'sliding' | 'leaky';

export const windowKinds: readonly WindowKind[] = ['fixed', 'sliding', 'leaky'];

export interface MeterRule {
  readonly kind: WindowKind;
  /** What may be used in one window; of a leaky bucket its size, which also leaks out once in a window. */
  readonly limit: number;
  readonly windowMs: number;
  /** At which ms of the clock, modulo the window, a window or step begins; without it the first request begins one. */
  readonly phaseMs?: number;
}

export interface MeterState {
  /** When the window began, or of a leaky bucket when its level was true. */
  readonly since: number;
  readonly used: number;
  /** Of a sliding window: what was used in each of its steps that still counts, the oldest first. */
  readonly steps: readonly Step[];
}

interface Step {
  readonly at: number;
  readonly amount: number;
}

/** What a bucket's level may be off by, since it is no whole number. */
const ROUNDING = 1e-6;
/** A sliding window moves in so many steps. */
const STEPS = 60;

export const emptyMeter: MeterState = { since: Number.NEGATIVE_INFINITY, used: 0, steps: [] };

/** The state as it is now: windows that ended are over, and what leaked is gone. */
export function turn(state: MeterState, rule: MeterRule, now: number): MeterState {
  switch (rule.kind) {
    case 'fixed':
      return now < state.since + rule.windowMs
        ? state
        : { since: beginning(rule.windowMs, rule.phaseMs ?? now, now), used: 0, steps: [] };
    case 'sliding':
      return slide(state, rule, now);
    case 'leaky': {
      const leaked = state.used === 0 ? 0 : ((now - state.since) * rule.limit) / rule.windowMs;
      return { since: now, used: Math.max(0, state.used - leaked), steps: [] };
    }
    default:
      return rule.kind satisfies never;
  }
}

/** Uses some, whether it fits or not. The state is to be of now (see `turn`). */
export function use(state: MeterState, amount: number, rule: MeterRule, now: number): MeterState {
  if (rule.kind !== 'sliding') {
    return { ...state, used: state.used + amount };
  }
  const at = beginning(rule.windowMs / STEPS, rule.phaseMs ?? 0, now);
  const last = state.steps.at(-1);
  const steps =
    last?.at === at
      ? [...state.steps.slice(0, -1), { at, amount: last.amount + amount }]
      : [...state.steps, { at, amount }];
  return { since: state.since, used: state.used + amount, steps };
}

/** How long until so much would fit, 0 when it does; to the end of the window, or a whole one, for what never fits. */
export function waitFor(state: MeterState, amount: number, rule: MeterRule, now: number): number {
  if (amount > rule.limit) {
    return rule.kind === 'fixed' ? state.since + rule.windowMs - now : rule.windowMs;
  }
  const excess = state.used + amount - rule.limit;
  if (excess <= ROUNDING) {
    return 0;
  }
  switch (rule.kind) {
    case 'fixed':
      return state.since + rule.windowMs - now;
    case 'sliding':
      return waitToSlide(state, excess, rule.windowMs, now);
    case 'leaky':
      return Math.ceil(((excess - ROUNDING) * rule.windowMs) / rule.limit);
    default:
      return rule.kind satisfies never;
  }
}

/** How long until nothing is used any more. */
export function waitForAll(state: MeterState, rule: MeterRule, now: number): number {
  return rule.kind === 'fixed' ? state.since + rule.windowMs - now : waitFor(state, rule.limit, rule, now);
}

function slide(state: MeterState, rule: MeterRule, now: number): MeterState {
  const steps = state.steps.filter((step) => now < step.at + rule.windowMs);
  if (steps.length === state.steps.length) {
    return state;
  }
  return { since: state.since, used: steps.reduce((sum, step) => sum + step.amount, 0), steps };
}

function waitToSlide(state: MeterState, excess: number, windowMs: number, now: number): number {
  let freed = 0;
  for (const step of state.steps) {
    freed += step.amount;
    if (freed >= excess) {
      return step.at + windowMs - now;
    }
  }
  return windowMs;
}

function beginning(lengthMs: number, phaseMs: number, now: number): number {
  return Math.floor((now - phaseMs) / lengthMs) * lengthMs + phaseMs;
}
