// Delays of an event loop, counted in steps. Pure.

/** A count stands for delays of so many of these. */
export const STEP_MS = 0.25;

export type DelayCounts = readonly (readonly [step: number, count: number])[];

export interface Delays {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Of all of them together; NaN where there are none. */
export function delaysOf(counts: readonly DelayCounts[]): Delays {
  const sums = new Map<number, number>();
  for (const [step, count] of counts.flat()) sums.set(step, (sums.get(step) ?? 0) + count);
  const sorted = [...sums].sort(([one], [other]) => one - other);
  const whole = sorted.reduce((sum, [, count]) => sum + count, 0);

  function at(share: number): number {
    let seen = 0;
    for (const [step, count] of sorted) {
      seen += count;
      if (seen >= share * whole) return step * STEP_MS;
    }
    return Number.NaN;
  }

  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
