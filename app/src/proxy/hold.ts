/**
 * Where requests wait for a throttled backend: in order of arrival for each deployment, woken one after the other as
 * there is room. What the first cannot have (it is too large, a backend failed it, it waits for a better one) the next
 * may; whoever comes gets what those in the line leave. Everybody leaves by their last deadline, with whatever the pool
 * then says.
 */
import type { Acquired } from '../balancer/pool.ts';

export interface HeldRequest {
  /** Which line it stands in: those who wait for the same deployment, by whatever name. */
  readonly line: string;
  /** What there is for it now. */
  readonly acquire: () => Acquired;
  /** Clock ms: not before then is there anything to be had, as far as is known. */
  readonly until: number;
  /** Clock ms, in their order: when it would put up with more than before; after the last one it does not wait. */
  readonly deadlines: readonly number[];
  readonly signal: AbortSignal;
}

export interface Hold {
  /** How many wait in this line, after those for whom there is room now have left it. */
  serve(line: string): number;
  /** What the pool gave in the end; undefined when the caller left. */
  wait(request: HeldRequest): Promise<Acquired | undefined>;
  /** The pool has changed: is there room? */
  readonly wake: () => void;
  /** Requests that wait now. */
  readonly size: number;
}

/** Runs something once, so many ms from now, unless it is stopped. */
export type StartTimer = (run: () => void, ms: number) => StopTimer;
export type StopTimer = () => void;

export interface HoldParts {
  /** Monotonic ms. */
  readonly clock: () => number;
  /** The real ones by default. */
  readonly startTimer?: StartTimer;
}

interface Waiter {
  readonly request: HeldRequest;
  readonly leave: (got: Acquired | undefined) => void;
}

/** Those who wait for one deployment, the first in front. */
interface Line {
  readonly waiters: Set<Waiter>;
  /** Clock ms: when it is looked at again. */
  at: number;
  stopTimer: StopTimer;
}

/** So many who cannot be served are looked at in a line, at a time. */
const MOST_LOOKED_AT = 64;

function startRealTimer(run: () => void, ms: number): StopTimer {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

function nothing(): void {
  // No timer runs.
}

export function createHold({ clock, startTimer = startRealTimer }: HoldParts): Hold {
  const lines = new Map<string, Line>();
  let size = 0;

  function wait(request: HeldRequest): Promise<Acquired | undefined> {
    const { signal } = request;
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => join(request, resolve));
  }

  function join(request: HeldRequest, resolve: (got: Acquired | undefined) => void): void {
    const { line: name, until, deadlines, signal } = request;
    const line = lines.get(name) ?? { waiters: new Set(), at: Number.POSITIVE_INFINITY, stopTimer: nothing };
    lines.set(name, line);
    let stopTimer = nothing;
    const onAbort = (): void => waiter.leave(undefined);
    const waiter: Waiter = {
      request,
      leave(got) {
        stopTimer();
        signal.removeEventListener('abort', onAbort);
        line.waiters.delete(waiter);
        size -= 1;
        resolve(got);
        if (line.waiters.size > 0) return arm(line, clock());
        line.stopTimer();
        lines.delete(name);
      },
    };

    function awaitDeadline(n: number): void {
      // A timer may go off a little early by this clock, and a recovery at the very deadline is to be waited for.
      stopTimer = startTimer(
        () => {
          const got = request.acquire();
          if (got.kind !== 'wait' || n + 1 >= deadlines.length) waiter.leave(got);
          else awaitDeadline(n + 1);
        },
        msUntil(deadlines[n] ?? 0) + 1,
      );
    }

    line.waiters.add(waiter);
    size += 1;
    signal.addEventListener('abort', onAbort);
    awaitDeadline(0);
    if (until < line.at) arm(line, until);
  }

  /** Looks again at that time. */
  function arm(line: Line, at: number): void {
    line.stopTimer();
    line.at = at;
    line.stopTimer = startTimer(() => serve(line), msUntil(at));
  }

  function msUntil(at: number): number {
    return Math.max(0, Math.ceil(at - clock()));
  }

  /** Everybody for whom there is room now, from the front. */
  function serve(line: Line): void {
    let again = Number.POSITIVE_INFINITY;
    let waiting = 0;
    for (const { request, leave } of line.waiters) {
      const got = request.acquire();
      if (got.kind !== 'wait') leave(got);
      else {
        again = Math.min(again, got.until);
        waiting += 1;
        if (waiting >= MOST_LOOKED_AT) break;
      }
    }
    if (waiting > 0) arm(line, again);
  }

  return {
    serve(name) {
      const line = lines.get(name);
      if (line === undefined) return 0;
      serve(line);
      return line.waiters.size;
    },
    wait,
    wake() {
      if (size === 0) return;
      for (const line of lines.values()) serve(line);
    },
    get size() {
      return size;
    },
  };
}

/** How long a caller would wait at most, in ms; without limit when it does not say. Undefined for nonsense. */
export function longestWaitMs(asked: string | undefined): number | undefined {
  if (asked === undefined) return Number.POSITIVE_INFINITY;
  return /^\d{1,9}$/.test(asked) ? Number(asked) : undefined;
}
