// Which requests arrive when: drawn from a seed, so that every contender gets the same ones. Pure.
import { between, randomFrom } from '../random.ts';
import { ANSWER_TOKENS, LEAST_MAX_TOKENS, MOST_MAX_TOKENS, tokensIn } from './shapes.ts';
import type { Shape } from './shapes.ts';

export interface Arrival {
  readonly id: number;
  /** From the beginning of the measured window; negative before it. */
  readonly atMs: number;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly isStreamed: boolean;
}

export interface ArrivalPlan {
  readonly shape: Shape;
  /** As a share of what leaks out of the bucket. */
  readonly load: number;
  readonly leadMs: number;
  readonly windowMs: number;
  readonly seed: number;
}

/**
 * Poisson arrivals before and in the window. Arrivals of a Poisson process whose number is known are spread evenly and
 * independently; so the tokens are drawn first, as many as the load is, and then the times. Otherwise chance alone
 * would move the offered load of a short window by a tenth.
 */
export function planArrivals({ shape, load, leadMs, windowMs, seed }: ArrivalPlan): Arrival[] {
  const random = randomFrom(seed);
  const arrivals: Omit<Arrival, 'id'>[] = [];
  for (const { fromMs, lengthMs } of [
    { fromMs: -leadMs, lengthMs: leadMs },
    { fromMs: 0, lengthMs: windowMs },
  ]) {
    let missing = load * tokensIn(lengthMs, shape);
    // The last one is sent when at least half of it is missing: neither side is favoured.
    for (;;) {
      const tokens = between(shape.leastTokens, shape.mostTokens, random);
      if (missing < tokens / 2) break;
      missing -= tokens;
      arrivals.push({
        atMs: fromMs + random() * lengthMs,
        promptTokens: tokens - ANSWER_TOKENS,
        maxTokens: between(LEAST_MAX_TOKENS, MOST_MAX_TOKENS, random),
        isStreamed: random() < 0.5,
      });
    }
  }
  return arrivals.sort((a, b) => a.atMs - b.atMs).map((arrival, index) => ({ ...arrival, id: index + 1 }));
}

/** What it really takes of the deployment. */
export function tokensOf({ promptTokens }: Arrival): number {
  return promptTokens + ANSWER_TOKENS;
}

/** What it is counted as when it arrives. */
export function countedTokensOf({ promptTokens, maxTokens }: Arrival): number {
  return promptTokens + maxTokens;
}
