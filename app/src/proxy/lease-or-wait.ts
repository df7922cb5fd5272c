/** Permission for the next attempt: at once, after waiting for a throttled backend, or not at all. */
import type { Acquired, Pool } from '../balancer/pool.ts';
import type { Hold } from './hold.ts';

export interface NextLease {
  readonly pool: Pool;
  readonly hold: Hold;
  /** Monotonic ms. */
  readonly clock: () => number;
}

/** Behind those who wait already, if the request may wait at all (`maxHoldMs` > 0). */
export function acquireNow(
  { pool, hold, clock }: NextLease,
  deployment: string,
  tried: ReadonlySet<string>,
  maxHoldMs: number,
): Acquired {
  const now = clock();
  if (maxHoldMs === 0) return pool.acquire({ deployment, tried, tokens: 0 }, now);
  if (hold.hasWaiters(deployment)) return { kind: 'wait', until: now, why: 'throttled' };
  return pool.acquire({ deployment, tried, tokens: 0, holdUntil: now + maxHoldMs }, now);
}

/** Everybody may be asked again afterwards. `got` is undefined when the caller left. */
export async function acquireLater(
  { pool, hold, clock }: NextLease,
  deployment: string,
  wait: { readonly until: number; readonly maxHoldMs: number; readonly signal: AbortSignal },
): Promise<{ readonly got: Acquired | undefined; readonly heldMs: number }> {
  const began = clock();
  const { until, maxHoldMs, signal } = wait;
  const deadline = began + maxHoldMs;
  const ask = { deployment, tried: new Set<string>(), tokens: 0 };
  const got = await hold.wait({
    deployment,
    acquire: (patient) => pool.acquire(patient ? { ...ask, patient, holdUntil: deadline } : ask, clock()),
    until,
    deadline,
    signal,
  });
  return { got, heldMs: clock() - began };
}
