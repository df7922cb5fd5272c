/**
 * Where requests wait for a throttled backend: in order of arrival for each deployment, woken one after the other as
 * there is room. Whoever comes while others wait waits behind them. Everybody leaves by their last deadline, with
 * whatever the pool then says.
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
  /** No backend failed it: what it cannot have, nobody behind it can. */
  readonly isPlain: boolean;
  readonly signal: AbortSignal;
}

export interface Hold {
  /** Somebody waits in this line who could take whatever a newcomer could: who comes now is behind them. */
  hasWaiters(line: string): boolean;
  /** How many wait in this line. */
  waiting(line: string): number;
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
  plain: number;
  stopTimer: StopTimer;
}

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
    const { line: name, until, deadlines, signal, isPlain } = request;
    const line = lines.get(name) ?? { waiters: new Set(), plain: 0, stopTimer: nothing };
    lines.set(name, line);
    let stopTimer = nothing;
    const onAbort = (): void => waiter.leave(undefined);
    const waiter: Waiter = {
      request,
      leave(got) {
        stopTimer();
        signal.removeEventListener('abort', onAbort);
        line.waiters.delete(waiter);
        if (isPlain) line.plain -= 1;
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
    if (isPlain) line.plain += 1;
    size += 1;
    signal.addEventListener('abort', onAbort);
    awaitDeadline(0);
    if (line.waiters.size === 1 || !isPlain) arm(line, until);
  }

  /** Looks again at that time. */
  function arm(line: Line, at: number): void {
    line.stopTimer();
    line.stopTimer = startTimer(() => serve(line), msUntil(at));
  }

  function msUntil(at: number): number {
    return Math.max(0, Math.ceil(at - clock()));
  }

  /** Everybody for whom there is room now, from the front. */
  function serve(line: Line): void {
    let again = Number.POSITIVE_INFINITY;
    for (const { request, leave } of line.waiters) {
      const got = request.acquire();
      if (got.kind !== 'wait') leave(got);
      else {
        again = Math.min(again, got.until);
        if (request.isPlain) break;
      }
    }
    if (line.waiters.size > 0) arm(line, again);
  }

  return {
    hasWaiters: (line) => (lines.get(line)?.plain ?? 0) > 0,
    waiting: (line) => lines.get(line)?.waiters.size ?? 0,
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
