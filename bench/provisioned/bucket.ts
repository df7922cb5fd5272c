// The provisioned deployment's bucket once more, beside the simulated one: how full it was at a moment, and what it would
// have taken if every request had asked it. Pure, on the simulator's own arithmetic.
import { correctProvisioned, decideProvisioned, emptyBucket } from '../../simulator/limits/provisioned.ts';
import type { ProvisionedLimits, ProvisionedState } from '../../simulator/limits/provisioned.ts';
import { countedTokensOf, tokensOf } from './arrivals.ts';
import type { Arrival } from './arrivals.ts';
import { answerMs, tokensIn } from './shapes.ts';

/** Something that tells of the bucket's level at a moment. */
export type BucketEvent =
  /** Taken: the bucket was below full, and so many tokens were poured in. */
  | { readonly kind: 'taken'; readonly atMs: number; readonly tokens: number }
  /** So many too many were counted. */
  | { readonly kind: 'given-back'; readonly atMs: number; readonly tokens: number }
  /** Refused: the bucket was full. */
  | { readonly kind: 'refused'; readonly atMs: number };

/** The time that the two clocks of a request, here and in the simulated resource, may differ by. */
const TOLERANCE_MS = 5;

export function bucketTokens(limits: Required<ProvisionedLimits>): number {
  return tokensIn(limits.burstMs, limits);
}

/**
 * For each of the moments, in any order, whether the bucket was below full and would have taken a request. What it did
 * with each request says on which side of full it was, so small errors of the clock do not add up.
 */
export function hadRoom(
  moments: readonly number[],
  events: readonly BucketEvent[],
  limits: Required<ProvisionedLimits>,
): boolean[] {
  const full = bucketTokens(limits);
  const inOrder = [...events].sort((a, b) => a.atMs - b.atMs);
  const rooms: boolean[] = [];
  let seen = 0;
  let state: ProvisionedState = { ...emptyBucket, at: inOrder[0]?.atMs ?? 0 };
  const byTime = moments.map((atMs, index) => ({ atMs, index })).sort((a, b) => a.atMs - b.atMs);
  for (const { atMs, index } of byTime) {
    for (let next = inOrder[seen]; next !== undefined && next.atMs <= atMs; next = inOrder[seen]) {
      state = after(state, next, limits);
      seen += 1;
    }
    rooms[index] = correctProvisioned(state, 0, limits, atMs).level < full - tokensIn(TOLERANCE_MS, limits);
  }
  return rooms;
}

function after(before: ProvisionedState, event: BucketEvent, limits: Required<ProvisionedLimits>): ProvisionedState {
  const full = bucketTokens(limits);
  const { level, at } = correctProvisioned(before, 0, limits, event.atMs);
  switch (event.kind) {
    case 'taken':
      return { level: Math.min(level, full) + event.tokens, at };
    case 'given-back':
      return { level: Math.max(0, level - event.tokens), at };
    case 'refused':
      return { level: Math.max(level, full), at };
    default:
      return event satisfies never;
  }
}

/** The ids of those that the bucket would have taken, had each asked it once and at once. */
export function takenWhenAsked(
  arrivals: readonly Arrival[],
  limits: Required<ProvisionedLimits>,
  { startMs, startTokens }: { readonly startMs: number; readonly startTokens: number },
): Set<number> {
  const taken = new Set<number>();
  const corrections: { readonly atMs: number; readonly tokens: number }[] = [];
  let state: ProvisionedState = { level: startTokens, at: startMs };
  for (const arrival of arrivals) {
    corrections.sort((a, b) => a.atMs - b.atMs);
    for (let next = corrections[0]; next !== undefined && next.atMs <= arrival.atMs; next = corrections[0]) {
      state = correctProvisioned(state, next.tokens, limits, next.atMs);
      corrections.shift();
    }
    const counted = countedTokensOf(arrival);
    const decision = decideProvisioned(state, { tokens: counted }, limits, arrival.atMs);
    state = decision.state;
    if (decision.verdict.kind === 'refused') continue;
    taken.add(arrival.id);
    corrections.push({ atMs: arrival.atMs + answerMs(arrival.isStreamed), tokens: tokensOf(arrival) - counted });
  }
  return taken;
}
