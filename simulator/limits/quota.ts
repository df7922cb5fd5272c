// The quota of one deployment that is paid by the token: tokens and requests a minute, and requests also in shorter
// slices, so that with slices of ten seconds 12 requests a minute means no more than 2 in any of them.
// Pure: (state, event, now) → state. The estimate of a request's tokens is made when it arrives and never corrected.

import { emptyMeter, turn, use, waitFor, waitForAll } from './meter.ts';
import type { MeterRule, MeterState, WindowKind } from './meter.ts';

export interface QuotaLimits {
  /** Tokens a minute; absent: unlimited. */
  readonly tpm?: number;
  /** Requests a minute; absent: unlimited. */
  readonly rpm?: number;
  /** How the minute is counted; default fixed. */
  readonly window?: WindowKind;
  /** Where in the clock's minute a window begins, in ms; absent: the first request begins one. */
  readonly phaseMs?: number;
  /** The lengths, in ms, of the slices in which requests are counted besides; default 10,000 alone. */
  readonly requestSlicesMs?: readonly number[];
}

export interface QuotaState {
  readonly tokens: MeterState;
  readonly requests: MeterState;
  /** One for each of the slices' lengths. */
  readonly slices: readonly MeterState[];
}

/** What is left of the minute; a number missing here has no limit. */
export interface Remaining {
  readonly tokens?: number;
  readonly requests?: number;
}

export type QuotaVerdict =
  | { readonly kind: 'admitted'; readonly remaining: Remaining }
  | {
      readonly kind: 'refused';
      readonly limit: 'tokens' | 'requests';
      /** Until the limit that refused has room for it. */
      readonly retryAfterMs: number;
      /** Until the whole minute's quota is there again. */
      readonly minuteEndsInMs: number;
      readonly remaining: Remaining;
    };

export interface QuotaDecision {
  readonly state: QuotaState;
  readonly verdict: QuotaVerdict;
}

const MINUTE_MS = 60_000;
const DEFAULT_SLICES_MS: readonly number[] = [10_000];
const CHARACTERS_A_TOKEN = 4;
const TOKENS_WITHOUT_MAXIMUM = 16;

/** A quota nothing was counted against yet. */
export const freshQuota: QuotaState = { tokens: emptyMeter, requests: emptyMeter, slices: [] };

/** The tokens a prompt of so many characters is counted as. */
export function tokensIn(characters: number): number {
  return Math.ceil(characters / CHARACTERS_A_TOKEN);
}

/** What a request is counted as on arrival: its prompt and all it may generate (16 tokens when it sets no maximum). */
export function estimateTokens(promptCharacters: number, maxTokens: number | undefined, bestOf = 1): number {
  return tokensIn(promptCharacters) + (maxTokens ?? TOKENS_WITHOUT_MAXIMUM) * bestOf;
}

/**
 * Counts one request and says whether it is admitted. A refused one counts as a request too ("unsuccessful requests
 * still count"), but its tokens do not, since nothing was processed.
 */
export function decideQuota(
  state: QuotaState,
  event: { readonly tokens: number },
  limits: QuotaLimits,
  now: number,
): QuotaDecision {
  const rules = rulesOf(limits);
  const tokens = turn(state.tokens, rules.tokens, now);
  const requests = turn(state.requests, rules.requests, now);
  const slices = rules.slices.map((rule, at) => turnSlice(state.slices[at] ?? emptyMeter, rule, requests, now));
  const counted: QuotaState = {
    tokens,
    requests: use(requests, 1, rules.requests, now),
    slices: slices.map((slice, at) => use(slice, 1, rules.slices[at] ?? rules.requests, now)),
  };

  // 1. requests: of all the limits that are full, the one that lasts longest is told
  const requestWaits = [
    waitFor(requests, 1, rules.requests, now),
    ...slices.map((slice, at) => waitFor(slice, 1, rules.slices[at] ?? rules.requests, now)),
  ];
  const requestWaitMs = Math.max(...requestWaits);
  if (requestWaitMs > 0) {
    return refused(counted, 'requests', requestWaitMs, now, limits);
  }
  // 2. tokens
  const tokenWaitMs = waitFor(tokens, event.tokens, rules.tokens, now);
  if (tokenWaitMs > 0) {
    return refused(counted, 'tokens', tokenWaitMs, now, limits);
  }
  const admitted = { ...counted, tokens: use(tokens, event.tokens, rules.tokens, now) };
  return { state: admitted, verdict: { kind: 'admitted', remaining: remainingOf(admitted, limits) } };
}

function refused(
  state: QuotaState,
  limit: 'tokens' | 'requests',
  retryAfterMs: number,
  now: number,
  limits: QuotaLimits,
): QuotaDecision {
  const rules = rulesOf(limits);
  const minuteEndsInMs = Math.max(
    retryAfterMs,
    limits.tpm === undefined ? 0 : waitForAll(state.tokens, rules.tokens, now),
    limits.rpm === undefined ? 0 : waitForAll(state.requests, rules.requests, now),
  );
  return {
    state,
    verdict: { kind: 'refused', limit, retryAfterMs, minuteEndsInMs, remaining: remainingOf(state, limits) },
  };
}

interface Rules {
  readonly tokens: MeterRule;
  readonly requests: MeterRule;
  readonly slices: readonly MeterRule[];
}

function rulesOf(limits: QuotaLimits): Rules {
  const { tpm = Number.POSITIVE_INFINITY, rpm = Number.POSITIVE_INFINITY, window: kind = 'fixed' } = limits;
  const phase = limits.phaseMs === undefined ? {} : { phaseMs: limits.phaseMs };
  const slicesMs = limits.rpm === undefined ? [] : (limits.requestSlicesMs ?? DEFAULT_SLICES_MS);
  return {
    tokens: { kind, limit: tpm, windowMs: MINUTE_MS, ...phase },
    requests: { kind, limit: rpm, windowMs: MINUTE_MS, ...phase },
    slices: slicesMs.map((windowMs) => ({
      kind: 'fixed',
      limit: Math.ceil((rpm * windowMs) / MINUTE_MS),
      windowMs,
      ...phase,
    })),
  };
}

/** Slices are parts of the minute: where a request began that, it began the first of them too. */
function turnSlice(slice: MeterState, rule: MeterRule, minute: MeterState, now: number): MeterState {
  const begun = Number.isFinite(minute.since) && rule.phaseMs === undefined ? { phaseMs: minute.since } : {};
  return turn(slice, { ...rule, ...begun }, now);
}

function remainingOf(state: QuotaState, { tpm, rpm }: QuotaLimits): Remaining {
  return {
    ...(tpm === undefined ? {} : { tokens: Math.max(0, Math.floor(tpm - state.tokens.used)) }),
    ...(rpm === undefined ? {} : { requests: Math.max(0, Math.floor(rpm - state.requests.used)) }),
  };
}
