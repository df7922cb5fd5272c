/**
 * How much each client may use (CLIENT_LIMITS): requests and tokens a minute, requests at a time. The only importer of
 * rate-limiter-flexible, which does the counting: a minute begins with its first request and ends 60 s later.
 *
 * Tokens are charged by an estimate when a request is known, and corrected by what it came to when it ends. A request
 * is let in while anything of the minute is left, so that a large one is never locked out; what is over is not lent to
 * the next minute. A request that is refused for its client's limits uses nothing.
 */
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { EVERYBODY_ELSE, type ClientLimit, type ClientLimits } from './limit.ts';

/** Why a client must wait. */
export interface LimitReached {
  readonly kind: 'limit-reached';
  readonly client: string;
  readonly what: 'tokens' | 'requests' | 'concurrent';
  readonly most: number;
  /** Until there is room again; for `concurrent` nobody can say. */
  readonly waitMs: number;
  readonly shown: Shown;
}

/** What is left of a minute. */
export interface Left {
  readonly limit: number;
  readonly remaining: number;
  readonly resetMs: number;
}

/** What the client may be shown of its minute; absent: not limited. */
export interface Shown {
  readonly requests?: Left;
  readonly tokens?: Left;
}

/** One request that was let in, and owes a `leave`. */
export interface Pass {
  readonly kind: 'pass';
  readonly shown: Shown;
  /** Its tokens are counted, so they are worth knowing. */
  readonly countsTokens: boolean;
  /** Once it is known what it may cost. Refused, it still owes a `leave`. */
  charge(tokens: number): Promise<LimitReached | undefined>;
  /** Once, at its end. `tokens`: what it came to; undefined when nobody knows, so that the estimate stands. */
  leave(tokens: number | undefined): Promise<void>;
}

export interface ClientLimiter {
  /** A request comes. Undefined for a client without limits. */
  enter(client: string): Promise<Pass | LimitReached> | undefined;
}

const MINUTE_S = 60;
const MINUTE_MS = 60_000;
/** Somebody has to finish first. */
const CONCURRENT_WAIT_MS = 1000;

/** @param wallClockMs milliseconds since the epoch, as `Date.now`: the library's own clock */
export function createClientLimiter(limits: ClientLimits, wallClockMs: () => number): ClientLimiter {
  const counters = new Map([...limits].map(([name, limit]) => [name, new Counter(limit, wallClockMs)]));
  const others = counters.get(EVERYBODY_ELSE);
  return { enter: (client) => (counters.get(client) ?? others)?.enter(client) };
}

/** The counting under one limit; for `*`, of each client by itself. */
class Counter {
  private readonly limit: ClientLimit;
  private readonly wallClockMs: () => number;
  private readonly underWay = new Map<string, number>();
  private readonly requests: RateLimiterMemory;
  private readonly tokens: RateLimiterMemory;

  constructor(limit: ClientLimit, wallClockMs: () => number) {
    const { requestsPerMinute = 0, tokensPerMinute = 0 } = limit;
    this.limit = limit;
    this.wallClockMs = wallClockMs;
    this.requests = new RateLimiterMemory({ points: requestsPerMinute, duration: MINUTE_S });
    this.tokens = new RateLimiterMemory({ points: tokensPerMinute, duration: MINUTE_S });
  }

  async enter(client: string): Promise<Pass | LimitReached> {
    const { concurrent, requestsPerMinute } = this.limit;
    const before = this.underWay.get(client) ?? 0;
    if (concurrent !== undefined && before >= concurrent) {
      return reached(client, 'concurrent', concurrent, CONCURRENT_WAIT_MS, {});
    }
    this.underWay.set(client, before + 1);
    if (requestsPerMinute === undefined) return this.passFor(client, {});
    const counted = await this.requests.penalty(client, 1);
    const requests = leftOf(requestsPerMinute, counted);
    if (counted.consumedPoints <= requestsPerMinute) return this.passFor(client, { requests });
    await takeBack(this.requests, client, 1);
    this.release(client);
    return reached(client, 'requests', requestsPerMinute, requests.resetMs, { requests });
  }

  private passFor(client: string, entered: Shown): Pass {
    const { tokensPerMinute } = this.limit;
    let shown = entered;
    let charged = 0;
    let minuteEndsAt = 0;
    const requestsEndAt = this.wallClockMs() + (entered.requests?.resetMs ?? 0);

    const charge = async (tokens: number): Promise<LimitReached | undefined> => {
      if (tokensPerMinute === undefined) return undefined;
      const counted = await this.tokens.penalty(client, tokens);
      const left = leftOf(tokensPerMinute, counted);
      shown = { ...shown, tokens: left };
      if (counted.consumedPoints - tokens < tokensPerMinute) {
        charged = tokens;
        minuteEndsAt = this.wallClockMs() + left.resetMs;
        return undefined;
      }
      await takeBack(this.tokens, client, tokens);
      if (shown.requests !== undefined && this.wallClockMs() < requestsEndAt) {
        await takeBack(this.requests, client, 1);
        shown = { ...shown, requests: { ...shown.requests, remaining: shown.requests.remaining + 1 } };
      }
      return reached(client, 'tokens', tokensPerMinute, left.resetMs, shown);
    };

    const leave = async (tokens: number | undefined): Promise<void> => {
      this.release(client);
      if (tokens === undefined || tokensPerMinute === undefined) return;
      if (tokens > charged) await this.tokens.penalty(client, tokens - charged);
      // What was charged to a minute that is over cannot be given back.
      else if (tokens < charged && this.wallClockMs() < minuteEndsAt) {
        await takeBack(this.tokens, client, charged - tokens);
      }
    };

    return {
      kind: 'pass',
      get shown() {
        return shown;
      },
      countsTokens: tokensPerMinute !== undefined,
      charge,
      leave,
    };
  }

  private release(client: string): void {
    const left = (this.underWay.get(client) ?? 1) - 1;
    if (left > 0) this.underWay.set(client, left);
    else this.underWay.delete(client);
  }
}

/** A minute that ended in between must not begin with a gift. */
async function takeBack(limiter: RateLimiterMemory, client: string, points: number): Promise<void> {
  const counted = await limiter.reward(client, points);
  if (counted.consumedPoints < 0) await limiter.delete(client);
}

function leftOf(limit: number, { consumedPoints, msBeforeNext }: RateLimiterRes): Left {
  // Were the machine's clock set back, the library would name a time that is further off than its timer.
  const resetMs = Math.min(Math.max(msBeforeNext, 1), MINUTE_MS);
  return { limit, remaining: Math.max(0, limit - consumedPoints), resetMs };
}

function reached(client: string, what: LimitReached['what'], most: number, waitMs: number, shown: Shown): LimitReached {
  return { kind: 'limit-reached', client, what, most, waitMs, shown };
}
