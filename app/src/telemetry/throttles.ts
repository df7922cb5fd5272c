/**
 * Keeps a provisioned deployment from filling the log: while it is full it is throttled and back many times a second.
 * Of a backend's changes between serving and throttled one a second is passed on, the latest, with the number of those
 * before it. Changes of other kinds are always told, at once.
 */
import type { BreakerState } from '../balancer/circuit-breaker.ts';
import type { StateChange } from '../balancer/pool.ts';
import type { Observe, ProxyEvent } from './events.ts';

type Changed = Extract<ProxyEvent, { kind: 'state-changed' }>;

const TOLD_EVERY_MS = 1000;
const DAILY: ReadonlySet<BreakerState['kind']> = new Set(['closed', 'cooldown', 'returning']);

interface Told {
  last?: Changed;
  skipped: number;
  timer: NodeJS.Timeout;
}

export interface Steady {
  readonly observe: Observe;
  /** Tells what was kept back, now. */
  readonly flush: () => void;
}

export function steady(observe: Observe): Steady {
  const recent = new Map<string, Told>();

  function tell(event: ProxyEvent): void {
    if (event.kind !== 'state-changed') return observe(event);
    const key = keyOf(event.change);
    const told = recent.get(key);
    if (!isDaily(event.change)) {
      if (told !== undefined) forget(key, told);
      return observe(event);
    }
    if (told === undefined) {
      recent.set(key, { skipped: 0, timer: later(key) });
      return observe(event);
    }
    if (told.last !== undefined) told.skipped += 1;
    told.last = event;
  }

  function later(key: string): NodeJS.Timeout {
    return setTimeout(() => pass(key), TOLD_EVERY_MS).unref();
  }

  /** A second has passed: the latest of what was kept, and on for another second; or nothing was. */
  function pass(key: string): void {
    const told = recent.get(key);
    if (told === undefined) return;
    const { last, skipped } = told;
    if (last === undefined) return forget(key, told);
    recent.set(key, { skipped: 0, timer: later(key) });
    observe(skipped === 0 ? last : { ...last, skipped });
  }

  function forget(key: string, { timer }: Told): void {
    clearTimeout(timer);
    recent.delete(key);
  }

  return {
    observe: tell,
    flush() {
      for (const [key, told] of recent) {
        forget(key, told);
        if (told.last !== undefined) observe({ ...told.last, skipped: told.skipped });
      }
    },
  };
}

function isDaily({ from, to }: StateChange): boolean {
  return DAILY.has(from.kind) && DAILY.has(to.kind);
}

function keyOf({ backend, deployment }: StateChange): string {
  return deployment === undefined ? backend.name : `${backend.name}/${deployment}`;
}
