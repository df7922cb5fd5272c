// From what the caller and the simulated resources saw to the figures of a row. Pure.
import type { ProvisionedLimits } from '../../simulator/limits/provisioned.ts';
import { percentile } from '../statistics.ts';
import { countedTokensOf, tokensOf } from './arrivals.ts';
import type { Arrival } from './arrivals.ts';
import { hadRoom } from './bucket.ts';
import type { BucketEvent } from './bucket.ts';
import { tokensIn } from './shapes.ts';

/** A request that a resource got. All times are of one clock. */
export interface SeenCall {
  readonly id: number;
  readonly atMs: number;
}

/** What became of a request, as its caller saw it. */
export interface Answered {
  readonly id: number;
  readonly sentAtMs: number;
  /** Absent: no answer, or not all of it. */
  readonly status?: number;
  /** Who wrote it. */
  readonly backend?: string;
  /** When the first of the content was here. */
  readonly contentAtMs?: number;
  readonly endedAtMs: number;
  /** Why there was no answer. */
  readonly problem?: string;
}

export interface Observed {
  readonly arrivals: readonly Arrival[];
  readonly answers: readonly Answered[];
  readonly provisionedCalls: readonly SeenCall[];
  readonly paygCalls: readonly SeenCall[];
  /** What was poured in before the load began. */
  readonly fill: readonly BucketEvent[];
  readonly limits: Required<ProvisionedLimits>;
  readonly window: { readonly fromMs: number; readonly toMs: number };
  /** Until the first content when nobody is between caller and backend. */
  readonly ownMs: { readonly streamed: number; readonly whole: number };
}

export interface Figures {
  /** Tokens that the provisioned deployment took in the window, of what leaks out of its bucket meanwhile. */
  readonly usedPercent: number;
  /** The same tokens, of what it could have had: what was offered, or its capacity where that is less. */
  readonly ofAttainablePercent: number;
  /** Tokens that pay-as-you-go got and the provisioned deployment had capacity for, of all that were offered. */
  readonly needlessPercent: number;
  readonly requests: number;
  /** Of the requests answered. */
  readonly spilledPercent: number;
  /** Spilled at a moment when the bucket was below full; of the requests answered. */
  readonly spilledWithRoomPercent: number;
  /** 429s that callers saw. */
  readonly throttled: number;
  /** Requests that the provisioned deployment refused, for each that was answered. */
  readonly refusedPerAnswer: number;
  /** Until the first content, less what the backend takes for it. */
  readonly addedP50Ms: number;
  readonly addedP99Ms: number;
  readonly unanswered: number;
  readonly problems: Readonly<Record<string, number>>;
}

export const PROVISIONED = 'ptu';

export function figuresOf(observed: Observed): Figures {
  const { arrivals, answers, provisionedCalls, window, limits } = observed;
  const arrivalOf = new Map(arrivals.map((arrival) => [arrival.id, arrival]));
  const tokensOfId = (id: number): number => {
    const arrival = arrivalOf.get(id);
    return arrival === undefined ? 0 : tokensOf(arrival);
  };
  const admitted = admittedCalls(provisionedCalls, answers);
  const isIn = (atMs: number): boolean => atMs >= window.fromMs && atMs < window.toMs;

  const served = sum(admitted.filter(({ atMs }) => isIn(atMs)).map(({ id }) => tokensOfId(id)));
  const capacity = tokensIn(window.toMs - window.fromMs, limits);
  const measured = answers.filter(({ sentAtMs }) => isIn(sentAtMs));
  const offered = sum(measured.map(({ id }) => tokensOfId(id)));
  const attainable = Math.min(offered, capacity);

  const answered = measured.filter(({ status }) => status !== undefined && status < 400);
  const spilled = answered.filter(({ backend }) => backend !== PROVISIONED);
  const spilledTokens = sum(spilled.map(({ id }) => tokensOfId(id)));
  const refused =
    provisionedCalls.filter(({ atMs }) => isIn(atMs)).length - admitted.filter(({ atMs }) => isIn(atMs)).length;
  const added = answered.flatMap((answer) => addedMs(answer, arrivalOf.get(answer.id), observed.ownMs));
  const failed = measured.filter(({ status }) => status === undefined || (status >= 400 && status !== 429));
  return {
    usedPercent: percent(served, capacity),
    ofAttainablePercent: percent(served, attainable),
    needlessPercent: percent(Math.min(spilledTokens, Math.max(0, attainable - served)), offered),
    requests: measured.length,
    spilledPercent: percent(spilled.length, answered.length),
    spilledWithRoomPercent: percent(withRoom(spilled, admitted, observed, arrivalOf), answered.length),
    throttled: measured.filter(({ status }) => status === 429).length,
    refusedPerAnswer: refused / answered.length,
    addedP50Ms: percentile(added, 0.5),
    addedP99Ms: percentile(added, 0.99),
    unanswered: failed.length,
    problems: counted(failed.map(({ status, problem }) => problem ?? `status ${status ?? 'none'}`)),
  };
}

/**
 * Of the calls that a resource got, those that it took. Its log does not say; but a request whose answer it wrote was
 * taken when it came for the last time, and was refused before.
 */
export function admittedCalls(calls: readonly SeenCall[], answers: readonly Answered[]): SeenCall[] {
  const answeredHere = new Set(answers.filter(({ backend }) => backend === PROVISIONED).map(({ id }) => id));
  const last = new Map<number, SeenCall>();
  for (const call of calls) {
    if (answeredHere.has(call.id)) last.set(call.id, call);
  }
  return [...last.values()];
}

/** How many went to pay-as-you-go while the bucket, as it really was, had room. */
function withRoom(
  spilled: readonly Answered[],
  admitted: readonly SeenCall[],
  { answers, provisionedCalls, paygCalls, fill, limits }: Observed,
  arrivalOf: ReadonlyMap<number, Arrival>,
): number {
  const taken = new Set(admitted);
  const endOf = new Map(answers.map(({ id, endedAtMs }) => [id, endedAtMs]));
  const events = provisionedCalls.flatMap((call): BucketEvent[] => {
    const { id, atMs } = call;
    const arrival = arrivalOf.get(id);
    if (arrival === undefined) return [];
    if (!taken.has(call)) return [{ kind: 'refused', atMs }];
    const tokens = countedTokensOf(arrival);
    return [
      { kind: 'taken', atMs, tokens },
      { kind: 'given-back', atMs: endOf.get(id) ?? atMs, tokens: tokens - tokensOf(arrival) },
    ];
  });
  const askedAt = new Map(paygCalls.map(({ id, atMs }) => [id, atMs]));
  const moments = spilled.map(({ id, sentAtMs }) => askedAt.get(id) ?? sentAtMs);
  return hadRoom(moments, [...fill, ...events], limits).filter(Boolean).length;
}

function addedMs(
  { sentAtMs, contentAtMs }: Answered,
  arrival: Arrival | undefined,
  ownMs: Observed['ownMs'],
): number[] {
  if (contentAtMs === undefined || arrival === undefined) return [];
  return [contentAtMs - sentAtMs - (arrival.isStreamed ? ownMs.streamed : ownMs.whole)];
}

function percent(part: number, whole: number): number {
  return (part / whole) * 100;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function counted(reasons: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const reason of reasons) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}
