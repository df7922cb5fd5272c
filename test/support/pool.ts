/** A pool under a clock that only the test moves, with short words for what the failover loop does to it. */
import assert from 'node:assert/strict';
import type { Backend } from '../../app/src/balancer/backend.ts';
import type { BreakerState, Standing } from '../../app/src/balancer/circuit-breaker.ts';
import type { Outcome } from '../../app/src/balancer/outcome.ts';
import {
  createPool,
  type Acquired,
  type Lease,
  type Pool,
  type PoolOptions,
  type StateChange,
} from '../../app/src/balancer/pool.ts';
import type { BackendSnapshot, DeploymentSnapshot } from '../../app/src/balancer/snapshot.ts';
import { manualClock, type ManualClock } from './manual-clock.ts';

export function backend(name: string, more: Partial<Backend> = {}): Backend {
  return { name, origin: `https://${name}.openai.azure.com`, priority: 1, weight: 1, ...more };
}

export const SERVED: Outcome = { kind: 'served', status: 200 };
export const MISSING: Outcome = { kind: 'missing' };
export const UNSUPPORTED: Outcome = { kind: 'unsupported' };
export const UNAUTHORIZED: Outcome = { kind: 'unauthorized', scope: 'host' };
export const FORBIDDEN: Outcome = { kind: 'unauthorized', scope: 'operation' };
export const ABANDONED: Outcome = { kind: 'abandoned' };
export const UNAVAILABLE: Outcome = { kind: 'failed', status: 503, cause: 'status' };
export const SERVER_ERROR: Outcome = { kind: 'failed', status: 500, cause: 'status' };
export const UNREACHABLE: Outcome = { kind: 'failed', cause: 'connect' };
export const RESET: Outcome = { kind: 'failed', cause: 'reset' };
export const SLOW: Outcome = { kind: 'failed', cause: 'first-token-timeout' };
export const SILENT: Outcome = { kind: 'failed', cause: 'header-timeout' };

export function throttled(retryAfterMs?: number): Outcome {
  return retryAfterMs === undefined
    ? { kind: 'throttled', inStream: false }
    : { kind: 'throttled', retryAfterMs, inStream: false };
}

/** The deployment that is asked for where a test names none. */
export const GPT = 'gpt';

export interface PoolDriver {
  readonly pool: Pool;
  readonly clock: ManualClock;
  readonly changes: readonly StateChange[];
  acquire(tried?: readonly string[], deployment?: string): Acquired;
  /** A lease, or the test fails. */
  lease(tried?: readonly string[], deployment?: string): Lease;
  settle(lease: Lease, outcome: Outcome): void;
  /** Headers and content arrive, and the answer ends, as the failover loop tells it. */
  serve(lease: Lease): void;
  firstContent(lease: Lease): void;
  headers(lease: Lease): void;
  /** One attempt at this backend alone comes to this. */
  attempt(name: string, outcome: Outcome, deployment?: string): Lease;
  host(name: string): BackendSnapshot;
  entry(name: string, deployment?: string): DeploymentSnapshot;
  state(name: string, deployment?: string): BreakerState;
  standing(name: string, deployment?: string): Standing;
  /** All that is in flight, hosts and deployments together. */
  inFlight(): number;
}

export function startPool(
  names: readonly (string | Backend)[],
  options: Partial<Omit<PoolOptions, 'backends' | 'onStateChange'>> = {},
): PoolDriver {
  const clock = manualClock(1_000_000);
  const changes: StateChange[] = [];
  const backends = names.map((name) => (typeof name === 'string' ? backend(name) : name));
  const pool = createPool({
    backends,
    random: () => 0,
    onStateChange: (change) => changes.push(change),
    ...options,
  });

  function acquire(tried: readonly string[] = [], deployment = GPT): Acquired {
    return pool.acquire({ deployment, tried: new Set(tried), tokens: 0 }, clock.now());
  }

  function lease(tried: readonly string[] = [], deployment = GPT): Lease {
    const got = acquire(tried, deployment);
    assert.equal(got.kind, 'lease');
    assert.ok(got.kind === 'lease');
    return got.lease;
  }

  function settle(held: Lease, outcome: Outcome): void {
    pool.settle(held, outcome, clock.now());
  }

  function headers(held: Lease): void {
    pool.observe(held, { kind: 'headers' }, clock.now());
  }

  function firstContent(held: Lease): void {
    pool.observe(held, { kind: 'first-content' }, clock.now());
  }

  function host(name: string): BackendSnapshot {
    const found = pool.snapshot(clock.now()).backends.find((snapshot) => snapshot.backend.name === name);
    assert.ok(found !== undefined, `no backend ${name}`);
    return found;
  }

  function entry(name: string, deployment = GPT): DeploymentSnapshot {
    const found = host(name).deployments.find((snapshot) => snapshot.deployment === deployment);
    assert.ok(found !== undefined, `no entry ${name}/${deployment}`);
    return found;
  }

  return {
    pool,
    clock,
    changes,
    acquire,
    lease,
    settle,
    serve(held) {
      headers(held);
      firstContent(held);
      settle(held, SERVED);
    },
    firstContent,
    headers,
    attempt(name, outcome, deployment = GPT) {
      const others = backends.map((one) => one.name).filter((other) => other !== name);
      const held = lease(others, deployment);
      assert.equal(held.backend.name, name);
      settle(held, outcome);
      return held;
    },
    host,
    entry,
    state: (name, deployment) => entry(name, deployment).state,
    standing: (name, deployment) => entry(name, deployment).standing,
    inFlight() {
      let sum = 0;
      for (const snapshot of pool.snapshot(clock.now()).backends) {
        sum += snapshot.inFlight;
        for (const deployment of snapshot.deployments) sum += deployment.inFlight;
      }
      return sum;
    },
  };
}
