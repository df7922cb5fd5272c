// The quota of one deployment, as Azure OpenAI counts it: tokens and requests in a fixed minute, and requests also in
// slices of ten seconds, so that 12 requests a minute means no more than 2 in any slice.
// Pure: (state, event, now) → state. The estimate of a request's tokens is made when it arrives and never corrected.

export interface QuotaLimits {
  readonly tpm?: number;
  readonly rpm?: number;
}

export interface QuotaState {
  readonly minuteStartedAt: number;
  readonly tokens: number;
  readonly requests: number;
  /** Which ten seconds of the minute `sliceRequests` counts: 0 to 5. */
  readonly slice: number;
  readonly sliceRequests: number;
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
      readonly retryAfterMs: number;
      readonly minuteEndsInMs: number;
      readonly remaining: Remaining;
    };

export interface QuotaDecision {
  readonly state: QuotaState;
  readonly verdict: QuotaVerdict;
}

export const MINUTE_MS = 60_000;
export const SLICE_MS = 10_000;
const SLICES_A_MINUTE = MINUTE_MS / SLICE_MS;
const CHARACTERS_A_TOKEN = 4;
const TOKENS_WITHOUT_MAXIMUM = 16;

/** A quota nothing was counted against yet: the first request starts its minute. */
export const freshQuota: QuotaState = {
  minuteStartedAt: Number.NEGATIVE_INFINITY,
  tokens: 0,
  requests: 0,
  slice: 0,
  sliceRequests: 0,
};

/** The tokens a prompt of so many characters is counted as. */
export function tokensIn(characters: number): number {
  return Math.ceil(characters / CHARACTERS_A_TOKEN);
}

/** What a request is counted as on arrival: its prompt and all it may generate (16 when it sets no maximum). */
export function estimateTokens(promptCharacters: number, maxTokens: number | undefined): number {
  return tokensIn(promptCharacters) + (maxTokens ?? TOKENS_WITHOUT_MAXIMUM);
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
  const current = turn(state, now);
  const counted = { ...current, requests: current.requests + 1, sliceRequests: current.sliceRequests + 1 };
  const minuteEndsInMs = current.minuteStartedAt + MINUTE_MS - now;
  const { rpm, tpm } = limits;

  const refuse = (limit: 'tokens' | 'requests', retryAfterMs: number): QuotaDecision => ({
    state: counted,
    verdict: { kind: 'refused', limit, retryAfterMs, minuteEndsInMs, remaining: remainingOf(counted, limits) },
  });

  if (rpm !== undefined && current.requests >= rpm) {
    return refuse('requests', minuteEndsInMs);
  }
  if (rpm !== undefined && current.sliceRequests >= Math.ceil(rpm / SLICES_A_MINUTE)) {
    // 1. the slice that is full ends at:  minuteStartedAt + (slice + 1) × 10 s
    // 2. so the wait is that, less now
    return refuse('requests', current.minuteStartedAt + (current.slice + 1) * SLICE_MS - now);
  }
  if (tpm !== undefined && current.tokens + event.tokens > tpm) {
    return refuse('tokens', minuteEndsInMs);
  }
  const admitted = { ...counted, tokens: current.tokens + event.tokens };
  return { state: admitted, verdict: { kind: 'admitted', remaining: remainingOf(admitted, limits) } };
}

function turn(state: QuotaState, now: number): QuotaState {
  const age = now - state.minuteStartedAt;
  if (age >= MINUTE_MS) {
    return { ...freshQuota, minuteStartedAt: now };
  }
  const slice = Math.floor(age / SLICE_MS);
  return slice === state.slice ? state : { ...state, slice, sliceRequests: 0 };
}

function remainingOf(state: QuotaState, limits: QuotaLimits): Remaining {
  return {
    ...(limits.tpm === undefined ? {} : { tokens: Math.max(0, limits.tpm - state.tokens) }),
    ...(limits.rpm === undefined ? {} : { requests: Math.max(0, limits.rpm - state.requests) }),
  };
}
