/**
 * Is a line for a better priority longer than it can serve? A line absorbs a burst; under a load that does not end it
 * would only make everybody wait, while one that waits is enough to keep the backend busy. So when somebody waited in
 * vain, others are not let in for a while, which doubles as long as it happens again. Pure; times are clock ms.
 */

export interface Crowding {
  /** Until then one may wait, and no more. */
  readonly until: number;
  readonly times: number;
}

const FIRST_MS = 1000;
const LONGEST_MS = 8000;

/** Somebody's time was over before the backend took them. */
export function onWaitedInVain(state: Crowding | undefined, now: number): Crowding {
  if (state !== undefined && now < state.until) return state; // They came before it was known.
  // A quiet time as long as the last crowded one is the end of it.
  const isAgain = state !== undefined && now < state.until + lengthOf(state.times);
  const times = isAgain ? state.times + 1 : 1;
  return { until: now + lengthOf(times), times };
}

export function isCrowded(state: Crowding | undefined, now: number): boolean {
  return state !== undefined && now < state.until;
}

/** It says nothing about what comes. */
export function isForgotten({ until, times }: Crowding, now: number): boolean {
  return now >= until + lengthOf(times);
}

function lengthOf(times: number): number {
  return Math.min(FIRST_MS * 2 ** (times - 1), LONGEST_MS);
}
