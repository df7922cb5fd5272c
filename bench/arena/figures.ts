// From the courses of requests to the figures of a row. Pure.
import { percentile } from '../statistics.ts';
import type { Course } from './run.ts';

/** Sums over runs. */
export interface Tally {
  readonly requests: number;
  readonly answered: number;
  /** Of the answered ones, as the service counts them. */
  readonly tokens: number;
  readonly cachedTokens: number;
  readonly attempts: number;
  /** Attempts that came to a 429. */
  readonly wasted: number;
  readonly throttledInBand: number;
  /** Of each request. */
  readonly heldMs: readonly number[];
}

export interface Figures {
  readonly requests: number;
  readonly answered: number;
  readonly refused: number;
  /** Refused beyond what the oracle refused, as a share of the requests; negative when it refused more. */
  readonly needless: number;
  readonly tokensOfOracle: number;
  readonly attemptsPerRequest: number;
  /** As a share of the attempts. */
  readonly wasted: number;
  readonly throttledInBand: number;
  readonly heldP50Ms: number;
  readonly heldP99Ms: number;
  /** Where prompts share beginnings. */
  readonly cachedOfSingle?: number;
}

/** What it is measured against, over the same requests. `single`: one resource with the quota of all. */
export interface Yardsticks {
  readonly oracle: Tally;
  readonly single?: Tally;
}

export function tallyOf(courses: readonly Course[]): Tally {
  const answered = courses.filter(({ ending }) => ending === 'answered');
  const attempts = courses.flatMap((course) => course.attempts);
  return {
    requests: courses.length,
    answered: answered.length,
    tokens: sum(answered.map(({ request }) => request.countedTokens)),
    cachedTokens: sum(attempts.filter(({ result }) => result === 'complete').map(({ cachedTokens }) => cachedTokens)),
    attempts: attempts.length,
    wasted: attempts.filter(({ result }) => result === '429').length,
    throttledInBand: attempts.filter(({ result }) => result === 'throttled-in-band').length,
    heldMs: courses.map(({ heldMs }) => heldMs),
  };
}

export function addUp(tallies: readonly Tally[]): Tally {
  return {
    requests: sum(tallies.map(({ requests }) => requests)),
    answered: sum(tallies.map(({ answered }) => answered)),
    tokens: sum(tallies.map(({ tokens }) => tokens)),
    cachedTokens: sum(tallies.map(({ cachedTokens }) => cachedTokens)),
    attempts: sum(tallies.map(({ attempts }) => attempts)),
    wasted: sum(tallies.map(({ wasted }) => wasted)),
    throttledInBand: sum(tallies.map(({ throttledInBand }) => throttledInBand)),
    heldMs: tallies.flatMap(({ heldMs }) => heldMs),
  };
}

export function figuresOf(tally: Tally, { oracle, single }: Yardsticks): Figures {
  const { requests, answered, tokens, attempts, wasted, throttledInBand, heldMs } = tally;
  return {
    requests,
    answered,
    refused: requests - answered,
    needless: (oracle.answered - answered) / requests,
    tokensOfOracle: tokens / oracle.tokens,
    attemptsPerRequest: attempts / requests,
    wasted: attempts === 0 ? 0 : wasted / attempts,
    throttledInBand,
    heldP50Ms: percentile(heldMs, 0.5),
    heldP99Ms: percentile(heldMs, 0.99),
    ...(single === undefined ? {} : { cachedOfSingle: tally.cachedTokens / single.cachedTokens }),
  };
}

/** Who served more: requests first, then tokens. */
export function servesMore(a: Tally, b: Tally): boolean {
  return a.answered > b.answered || (a.answered === b.answered && a.tokens > b.tokens);
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
