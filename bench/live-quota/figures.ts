// From what callers and resources saw to the figures of a row. Pure.
import { percentile } from '../statistics.ts';
import type { Attempt } from './distant.ts';
import { deployments, quotaTokens } from './workload.ts';
import type { Arrival } from './workload.ts';

/** What became of a request, as its caller saw it. */
export interface Answered {
  readonly id: number;
  /** Absent: no answer. */
  readonly status?: number;
  /** From sending to the end of the answer. */
  readonly ms: number;
  /** Why there was no answer, or what was wrong with it. */
  readonly problem?: string;
}

export interface SeenAttempt extends Attempt {
  /** Which of them. */
  readonly resource: number;
}

export interface Observed {
  readonly arrivals: readonly Arrival[];
  readonly answers: readonly Answered[];
  readonly attempts: readonly SeenAttempt[];
  /** The measured time; what arrived in it is what is measured. */
  readonly fromMs: number;
  readonly windowMs: number;
  /** How long before it the load began, at a whole minute of the resources' clock. */
  readonly leadMs: number;
}

export interface Figures {
  readonly requests: number;
  readonly answered: number;
  /** To the caller. */
  readonly throttled: number;
  /** Neither an answer nor a 429, by what it was. */
  readonly others: Readonly<Record<string, number>>;
  /** Admitted in the measured time and answered, of what all resources may serve in so long. */
  readonly servedPercent: number;
  /** Of each resource the tokens in each of its windows, the first and the last of which are no whole ones. */
  readonly servedByWindow: readonly (readonly number[])[];
  readonly attemptsPerRequest: number;
  /** Of the attempts. */
  readonly wastedPercent: number;
  /** To the end of an answer. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** To a 429; absent where there was none. */
  readonly refusedP50Ms?: number;
  readonly refusedP99Ms?: number;
}

const MINUTE_MS = 60_000;

export function figuresOf(observed: Observed): Figures {
  const { arrivals, answers, attempts, windowMs } = observed;
  const measured = new Set(arrivals.filter(({ atMs }) => atMs >= 0).map(({ id }) => id));
  const ofMeasured = answers.filter(({ id }) => measured.has(id));
  const answered = ofMeasured.filter(isAnswer);
  const throttled = ofMeasured.filter(({ status }) => status === 429);
  const others = ofMeasured.filter((answer) => !isAnswer(answer) && answer.status !== 429);
  const attempted = attempts.filter(({ id }) => measured.has(id));
  const wasted = attempted.filter(({ status }) => status === 429);
  return {
    requests: ofMeasured.length,
    answered: answered.length,
    throttled: throttled.length,
    others: counted(others.map(({ status, problem }) => problem ?? `status ${status ?? 'none'}`)),
    servedPercent: percent(servedTokens(observed), quotaTokens(windowMs)),
    servedByWindow: servedByWindow(observed),
    attemptsPerRequest: attempted.length / ofMeasured.length,
    wastedPercent: attempted.length === 0 ? 0 : percent(wasted.length, attempted.length),
    p50Ms: percentile(times(answered), 0.5),
    p99Ms: percentile(times(answered), 0.99),
    ...(throttled.length === 0
      ? {}
      : { refusedP50Ms: percentile(times(throttled), 0.5), refusedP99Ms: percentile(times(throttled), 0.99) }),
  };
}

function servedTokens(observed: Observed): number {
  const { fromMs, windowMs } = observed;
  const served = servedOf(observed).filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + windowMs);
  return served.reduce((sum, { tokens }) => sum + tokens, 0);
}

function servedByWindow(observed: Observed): number[][] {
  const beganMs = observed.fromMs - observed.leadMs;
  const served = servedOf(observed);
  return deployments().map(({ phaseMs = 0 }, resource) => {
    const windows: number[] = [];
    for (const { atMs, tokens } of served.filter((one) => one.resource === resource)) {
      const window = Math.floor((atMs - beganMs - phaseMs) / MINUTE_MS) + 1;
      while (windows.length <= window) windows.push(0);
      windows[window] = (windows[window] ?? 0) + tokens;
    }
    return windows;
  });
}

/** What was admitted and whose answer came to the caller. */
function servedOf({ arrivals, answers, attempts }: Observed): (SeenAttempt & { readonly tokens: number })[] {
  const tokensOf = new Map(arrivals.map(({ id, countedTokens }) => [id, countedTokens]));
  const answered = new Set(answers.filter(isAnswer).map(({ id }) => id));
  return attempts
    .filter(({ id, status }) => status === 200 && answered.has(id))
    .map((attempt) => ({ ...attempt, tokens: tokensOf.get(attempt.id) ?? 0 }));
}

function isAnswer({ status, problem }: Answered): boolean {
  return status === 200 && problem === undefined;
}

function times(answers: readonly Answered[]): number[] {
  return answers.map(({ ms }) => ms);
}

function percent(part: number, whole: number): number {
  return (part / whole) * 100;
}

function counted(reasons: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const reason of reasons) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}
