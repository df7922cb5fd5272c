// The provisioned deployments that are measured, and how the simulated model answers.

/** A provisioned deployment and the requests it gets: prompt and answer are so many tokens, evenly spread. */
export interface Shape {
  readonly tokensPerMinute: number;
  readonly leastTokens: number;
  readonly mostTokens: number;
}

export type ShapeName = 'small' | 'large';

/**
 * small:  2,000 tokens a second, a request of  800 to 1,200 tokens leaks out in 400 to 600 ms
 * large: 40,000 tokens a second, a request of  400 to 1,600 tokens leaks out in  10 to  40 ms
 */
export const shapes: Readonly<Record<ShapeName, Shape>> = {
  small: { tokensPerMinute: 120_000, leastTokens: 800, mostTokens: 1200 },
  large: { tokensPerMinute: 2_400_000, leastTokens: 400, mostTokens: 1600 },
};

export const SHAPE_NAMES: readonly ShapeName[] = ['small', 'large'];

export const LOADS: readonly number[] = [0.5, 0.9, 1, 1.2, 2];

/** How much the bucket holds is not documented; the simulator assumes 10 s of the rate, and a shallow one shows more. */
export const BUCKETS_MS: readonly number[] = [10_000, 1000];

export const MODEL = 'gpt-5.4';
/** Unlimited everywhere, for the requests that warm a contender up and are part of nothing. */
export const WARM_DEPLOYMENT = 'warm-up';

/** An answer's first piece comes after this, a stream's next ones this far apart. */
export const FIRST_PIECE_MS = 200;
export const CHUNK_MS = 25;
/** As many tokens as content chunks of a stream. */
export const ANSWER_TOKENS = 12;
/** What requests allow the answer to have: counted on arrival, and given back when the answer ended shorter. */
export const LEAST_MAX_TOKENS = 16;
export const MOST_MAX_TOKENS = 64;

/** About how long an answer takes from its request: what it was counted too much is given back then. */
export function answerMs(isStreamed: boolean): number {
  return isStreamed ? FIRST_PIECE_MS + CHUNK_MS * (ANSWER_TOKENS + 2) : FIRST_PIECE_MS;
}

export function isShapeName(name: string): name is ShapeName {
  return Object.hasOwn(shapes, name);
}

export function tokensIn(ms: number, { tokensPerMinute }: Pick<Shape, 'tokensPerMinute'>): number {
  return (ms * tokensPerMinute) / 60_000;
}

/** A deployment for each bucket, so that one process meets both, one after the other. */
export function deploymentOf(burstMs: number): string {
  return `${MODEL}-bucket-${burstMs}`;
}
