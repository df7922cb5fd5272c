/**
 * Where requests wait for a throttled backend: in order of arrival for each deployment, woken one after the other as
 * there is room. Whoever comes while others wait waits behind them. Everybody leaves by their deadline at the latest, with
 * whatever the pool then says.
 */
import type { Acquired } from '../balancer/pool.ts';

export interface HeldRequest {
  readonly deployment: string;
  /** `patient`: only a lease that does no harm to a backend which is just back; else whatever there is. */
  readonly acquire: (patient: boolean) => Acquired;
  /** Clock ms: not before then is there anything to be had, as far as is known. */
  readonly until: number;
  /** Clock ms. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

export interface Hold {
  /** Somebody waits for this deployment: who comes now is behind them. */
  hasWaiters(deployment: string): boolean;
  /** What the pool gave in the end; undefined when the caller left. */
  wait(request: HeldRequest): Promise<Acquired | undefined>;
  /** The pool has changed: is there room? */
  readonly wake: () => void;
  /** Requests that wait now. */
  readonly size: number;
}

interface Waiter {
  readonly request: HeldRequest;
  readonly leave: (got: Acquired | undefined) => void;
}

/** The callers of one deployment, the first in front. */
interface Queue {
  readonly waiters: Set<Waiter>;
  timer: NodeJS.Timeout | undefined;
}

/** @param clock monotonic ms */
export function createHold(clock: () => number): Hold {
  const queues = new Map<string, Queue>();
  let size = 0;

  function wait(request: HeldRequest): Promise<Acquired | undefined> {
    const { deployment, until, deadline, signal } = request;
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const queue = queues.get(deployment) ?? { waiters: new Set(), timer: undefined };
      queues.set(deployment, queue);
      const onAbort = (): void => waiter.leave(undefined);
      // At the deadline there is nothing to lose by asking for more than patience would.
      const onDeadline = (): void => waiter.leave(request.acquire(false));
      // A timer may go off a little early by this clock, and a recovery at the very deadline is to be waited for.
      const timer = setTimeout(onDeadline, Math.max(0, Math.ceil(deadline - clock())) + 1);
      const waiter: Waiter = {
        request,
        leave(got) {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          queue.waiters.delete(waiter);
          size -= 1;
          resolve(got);
          if (queue.waiters.size > 0) return arm(queue, clock());
          clearTimeout(queue.timer);
          queues.delete(deployment);
        },
      };
      queue.waiters.add(waiter);
      size += 1;
      signal.addEventListener('abort', onAbort);
      if (queue.waiters.size === 1) arm(queue, until);
    });
  }

  /** Looks again at that time. */
  function arm(queue: Queue, at: number): void {
    clearTimeout(queue.timer);
    queue.timer = setTimeout(() => serve(queue), Math.max(0, Math.ceil(at - clock())));
  }

  /** Everybody for whom there is room now, from the front. */
  function serve(queue: Queue): void {
    for (const { request, leave } of queue.waiters) {
      const got = request.acquire(true);
      if (got.kind === 'wait') return arm(queue, got.until);
      leave(got);
    }
  }

  return {
    hasWaiters: (deployment) => queues.has(deployment),
    wait,
    wake() {
      if (size === 0) return;
      for (const queue of queues.values()) serve(queue);
    },
    get size() {
      return size;
    },
  };
}

/** How long this request may wait: as long as the setting says, or less if its caller asks so. Undefined for nonsense. */
export function longestHoldMs(asked: string | undefined, mostMs: number): number | undefined {
  if (asked === undefined) return mostMs;
  return /^\d{1,9}$/.test(asked) ? Math.min(Number(asked), mostMs) : undefined;
}
