/** Stands in for setTimeout and clearTimeout: time passes when the test says so. `refresh` counts, unlike node:test's. */
export interface ManualTimers {
  advance(ms: number): void;
  /** Timers that are still to go off. */
  readonly pending: number;
  /** Puts the real ones back. */
  restore(): void;
}

class ManualTimer {
  private readonly timers: Set<ManualTimer>;
  private readonly now: () => number;
  private readonly ms: number;
  readonly callback: () => void;
  at: number;

  constructor(timers: Set<ManualTimer>, now: () => number, ms: number, callback: () => void) {
    this.timers = timers;
    this.now = now;
    this.ms = ms;
    this.callback = callback;
    this.at = now() + ms;
    timers.add(this);
  }

  refresh(): this {
    this.at = this.now() + this.ms;
    this.timers.add(this);
    return this;
  }

  unref(): this {
    return this;
  }
}

export function useManualTimers(): ManualTimers {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  const timers = new Set<ManualTimer>();
  let now = 0;
  Object.assign(globalThis, {
    setTimeout: (callback: () => void, ms: number) => new ManualTimer(timers, () => now, ms, callback),
    clearTimeout: (timer: ManualTimer | undefined) => void (timer !== undefined && timers.delete(timer)),
  });
  return {
    advance(ms) {
      const until = now + ms;
      for (;;) {
        const [next] = [...timers].filter((timer) => timer.at <= until).toSorted((a, b) => a.at - b.at);
        if (next === undefined) break;
        now = next.at;
        timers.delete(next);
        next.callback();
      }
      now = until;
    },
    get pending() {
      return timers.size;
    },
    restore() {
      Object.assign(globalThis, real);
    },
  };
}
