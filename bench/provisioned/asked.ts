// What would come of it if every request asked the provisioned deployment first, whatever it said before: the most that
// can be had without making anybody wait. Pure.
import { tokensOf } from './arrivals.ts';
import type { Arrival } from './arrivals.ts';
import type { Figures } from './accounting.ts';
import { takenWhenAsked } from './bucket.ts';
import { tokensIn } from './shapes.ts';
import type { ShapeName } from './shapes.ts';

export interface Asked extends Pick<
  Figures,
  'usedPercent' | 'ofAttainablePercent' | 'needlessPercent' | 'spilledPercent' | 'refusedPerAnswer' | 'requests'
> {
  readonly shape: ShapeName;
  readonly burstMs: number;
  readonly load: number;
}

export interface AskedPlan {
  readonly arrivals: readonly Arrival[];
  readonly limits: { readonly tokensPerMinute: number; readonly burstMs: number };
  readonly fillTokens: number;
  readonly leadMs: number;
  readonly windowMs: number;
}

export function whenEveryRequestAsks({
  arrivals,
  limits,
  fillTokens,
  leadMs,
  windowMs,
}: AskedPlan): Omit<Asked, 'shape' | 'burstMs' | 'load'> {
  const taken = takenWhenAsked(arrivals, limits, { startMs: -leadMs, startTokens: fillTokens });
  const measured = arrivals.filter(({ atMs }) => atMs >= 0);
  const served = measured.filter(({ id }) => taken.has(id));
  const capacity = tokensIn(windowMs, limits);
  const offeredTokens = sumOf(measured);
  const servedTokens = sumOf(served);
  const attainable = Math.min(offeredTokens, capacity);
  const spilledShare = (measured.length - served.length) / measured.length;
  return {
    usedPercent: (servedTokens / capacity) * 100,
    ofAttainablePercent: (servedTokens / attainable) * 100,
    needlessPercent: (Math.max(0, attainable - servedTokens) / offeredTokens) * 100,
    spilledPercent: spilledShare * 100,
    refusedPerAnswer: spilledShare,
    requests: measured.length,
  };
}

function sumOf(arrivals: readonly Arrival[]): number {
  return arrivals.reduce((sum, arrival) => sum + tokensOf(arrival), 0);
}
