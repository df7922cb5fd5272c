/** Permission for the next attempt: at once, after waiting for a throttled backend, or not at all. */
import { isCrowded, isForgotten, onWaitedInVain, type Crowding } from '../balancer/crowding.ts';
import type { Acquired, Ask, Pool } from '../balancer/pool.ts';
import type { Wait } from '../balancer/waiting.ts';
import type { Course } from './course.ts';
import type { Hold } from './hold.ts';

export interface NextLease {
  readonly pool: Pool;
  readonly hold: Hold;
  /** Monotonic ms. */
  readonly clock: () => number;
  /** The line for a deployment's name: one for all the names of it. */
  readonly lineOf: (deployment: string) => string;
  readonly crowds: Crowds;
}

/** Lines for a better priority in which somebody waited in vain of late. */
export class Crowds {
  private readonly lines = new Map<string, Crowding>();

  isCrowded(line: string, now: number): boolean {
    return isCrowded(this.lines.get(line), now);
  }

  waitedInVain(line: string, now: number): void {
    // Names of deployments are the callers' to choose.
    for (const [name, crowding] of this.lines) if (isForgotten(crowding, now)) this.lines.delete(name);
    this.lines.set(line, onWaitedInVain(this.lines.get(line), now));
  }
}

/** So often a request is throttled after it has waited. */
const MOST_IN_VAIN = 8;

/** What a request would put up with, in ms. */
export interface LongestWaits {
  /** Rather than be refused because every backend is throttled. */
  readonly holdMs: number;
  /** Rather than go to a backend of a worse priority. */
  readonly priorityMs: number;
}

/**
 * What is left of it. Both times begin to run when the request first waits, once for all its waiting. Who was
 * throttled again and again after waiting waits no more, however much is left: somebody names waits that are not true.
 */
export class Patience {
  private readonly longest: LongestWaits;
  private holdUntil: number | undefined;
  private spillAt: number | undefined;
  private inVain = 0;

  constructor(longest: LongestWaits) {
    this.longest = longest;
  }

  /** As the pool wants it: clock ms, absent for what it would not wait for. */
  at(now: number): { readonly holdUntil?: number; readonly spillAt?: number } {
    const { holdMs, priorityMs } = this.longest;
    const holdUntil = this.inVain >= MOST_IN_VAIN || holdMs <= 0 ? undefined : (this.holdUntil ?? now + holdMs);
    const spillAt =
      priorityMs <= 0 || this.spillAt === 0 || this.inVain >= MOST_IN_VAIN
        ? undefined
        : (this.spillAt ?? now + priorityMs);
    return {
      ...(holdUntil === undefined ? {} : { holdUntil }),
      ...(spillAt === undefined ? {} : { spillAt }),
    };
  }

  /** It waits now, for whatever. */
  begin(now: number): void {
    this.holdUntil ??= now + this.longest.holdMs;
    this.spillAt ??= now + this.longest.priorityMs;
  }

  /** It does not wait for a better priority any more. */
  spill(): void {
    this.spillAt = 0;
  }

  /** Somebody who was asked throttled it. */
  throttled(): void {
    if (this.holdUntil !== undefined) this.inVain += 1;
  }
}

/** What is asked for, all its time. */
export type Asking = Pick<Ask, 'deployment' | 'tokens' | 'openTokens' | 'affinityKey'>;

/** Undefined when the caller left while it waited. */
export function nextLease(
  deps: NextLease,
  asking: Asking,
  course: Course,
  patience: Patience,
  signal: AbortSignal,
): Acquired | Promise<Acquired | undefined> {
  const { pool, hold, clock, lineOf, crowds } = deps;
  const now = clock();
  const { tried, throttled, worseThan } = course;
  const line = lineOf(asking.deployment);
  // First those who came before.
  const waiting = hold.serve(line);
  if (waiting > 0 && crowds.isCrowded(line, now)) patience.spill();
  const got = pool.acquire({ ...asking, tried, throttled, worseThan, ...patience.at(now) }, now);
  if (got.kind !== 'wait') return got;
  patience.begin(now);
  return waitInLine(deps, asking, course, { ...got, ...patience.at(now) }, signal);
}

/** What there is in its turn, or at the end of its time. */
async function waitInLine(
  { pool, hold, clock, lineOf, crowds }: NextLease,
  asking: Asking,
  course: Course,
  times: Wait & { readonly holdUntil?: number; readonly spillAt?: number },
  signal: AbortSignal,
): Promise<Acquired | undefined> {
  const began = clock();
  course.restart();
  const { until, holdUntil = 0, spillAt = 0 } = times;
  const { tried, worseThan } = course;
  const ask = { ...asking, tried, worseThan, isInLine: true, holdUntil, spillAt };
  const line = lineOf(asking.deployment);
  const got = await hold.wait({
    line,
    acquire: () => pool.acquire(ask, clock()),
    until,
    deadlines: [spillAt, holdUntil].filter((at) => at > began).toSorted((a, b) => a - b),
    signal,
  });
  const now = clock();
  course.held(now - began);
  const isSpilled = got?.kind === 'lease' && got.lease.spilledFrom !== undefined;
  if (isSpilled && times.why === 'priority') crowds.waitedInVain(line, now);
  return got;
}
