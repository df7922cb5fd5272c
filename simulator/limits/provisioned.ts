// The quota of a provisioned deployment (PTU): a bucket that leaks at the rate that was bought. A request is admitted as
// long as the bucket is not full, is counted as its prompt less the cached part and all it may generate, and is
// corrected when it is done. A refused one is told how many ms until the bucket is below full again.
// Pure: (state, event, now) → state. Amounts are tokens, times are ms.

export interface ProvisionedLimits {
  /** What leaks out of the bucket in a minute. */
  readonly tokensPerMinute: number;
  /** The bucket holds what leaks in this time; default 10 s. */
  readonly burstMs?: number;
}

export interface ProvisionedState {
  readonly level: number;
  readonly at: number;
}

export type ProvisionedVerdict =
  | { readonly kind: 'admitted'; readonly utilizationPercent: number }
  | { readonly kind: 'refused'; readonly utilizationPercent: number; readonly retryAfterMs: number };

export interface ProvisionedDecision {
  readonly state: ProvisionedState;
  readonly verdict: ProvisionedVerdict;
}

const MINUTE_MS = 60_000;
const DEFAULT_BURST_MS = 10_000;

export const emptyBucket: ProvisionedState = { level: 0, at: 0 };

export function decideProvisioned(
  state: ProvisionedState,
  event: { readonly tokens: number },
  limits: ProvisionedLimits,
  now: number,
): ProvisionedDecision {
  const { level } = leak(state, limits, now);
  const size = sizeOf(limits);
  if (level >= size) {
    // The first whole ms at which the level is below full.
    const retryAfterMs = Math.floor(((level - size) * MINUTE_MS) / limits.tokensPerMinute) + 1;
    return {
      state: { level, at: now },
      verdict: { kind: 'refused', utilizationPercent: percent(level, size), retryAfterMs },
    };
  }
  const after = level + event.tokens;
  return {
    state: { level: after, at: now },
    verdict: { kind: 'admitted', utilizationPercent: percent(after, size) },
  };
}

/** Puts right what was counted on arrival: so many tokens more (or less) were used. */
export function correctProvisioned(
  state: ProvisionedState,
  tokens: number,
  limits: ProvisionedLimits,
  now: number,
): ProvisionedState {
  return { level: Math.max(0, leak(state, limits, now).level + tokens), at: now };
}

function leak(state: ProvisionedState, limits: ProvisionedLimits, now: number): ProvisionedState {
  const leaked = ((now - state.at) * limits.tokensPerMinute) / MINUTE_MS;
  return { level: Math.max(0, state.level - leaked), at: now };
}

function sizeOf({ tokensPerMinute, burstMs = DEFAULT_BURST_MS }: ProvisionedLimits): number {
  return (tokensPerMinute * burstMs) / MINUTE_MS;
}

function percent(level: number, size: number): number {
  return Math.round((level / size) * 100);
}
