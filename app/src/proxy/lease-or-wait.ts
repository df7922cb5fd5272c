/** Permission for the next attempt: at once, after waiting for a throttled backend, or not at all. */
import type { Acquired, Pool } from '../balancer/pool.ts';
import type { Course } from './course.ts';
import type { Hold } from './hold.ts';

export interface NextLease {
  readonly pool: Pool;
  readonly hold: Hold;
  /** Monotonic ms. */
  readonly clock: () => number;
}

/** @param holdUntil clock ms: until then the request would wait, behind those who wait already; absent: not at all */
export function acquireNow(
  { pool, hold, clock }: NextLease,
  deployment: string,
  { tried, throttled }: Course,
  holdUntil: number | undefined,
): Acquired {
  const now = clock();
  if (holdUntil === undefined || holdUntil <= now) return pool.acquire({ deployment, tried, tokens: 0 }, now);
  if (hold.hasWaiters(deployment)) return { kind: 'wait', until: now, why: 'throttled' };
  return pool.acquire({ deployment, tried, throttled, tokens: 0, holdUntil }, now);
}

/** What there is in its turn, or at the end of its time; undefined when the caller left. */
export async function acquireLater(
  { pool, hold, clock }: NextLease,
  deployment: string,
  course: Course,
  wait: { readonly until: number; readonly deadline: number; readonly signal: AbortSignal },
): Promise<Acquired | undefined> {
  const began = clock();
  const { deadline } = wait;
  course.restart();
  const ask = { deployment, tried: course.tried, tokens: 0 };
  const got = await hold.wait({
    ...wait,
    deployment,
    acquire: (patient) => pool.acquire(patient ? { ...ask, patient, holdUntil: deadline } : ask, clock()),
  });
  course.held(clock() - began);
  return got;
}
