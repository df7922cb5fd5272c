/**
 * Custom metrics: a small set, summed here so that every request counts in them, sampled or not. A fold over the events;
 * one look into a map an event, and the rest when the sums are taken. Bounded whatever callers send.
 */
import type { Observe, ProxyEvent } from './events.ts';
import type { MeasureData } from './insights-data.ts';

/** Every metric, with its dimensions. docs/application-insights.md lists them; a test compares. */
export const MEASURES = {
  'balancer.requests': ['client', 'operation', 'status', 'ending', 'code'],
  'balancer.attempts': ['backend', 'deployment', 'outcome'],
  'balancer.failovers': ['backend', 'deployment', 'outcome'],
  'balancer.tokens': ['client', 'backend', 'deployment', 'type'],
  'balancer.first_content_ms': ['backend', 'deployment'],
  'balancer.held_ms': ['deployment'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

type Name = keyof typeof MEASURES;
type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;
type Ended = Extract<ProxyEvent, { kind: 'attempt-ended' }>;

/** Requests that are alike. */
interface Requests {
  readonly labels: Readonly<
    Record<'client' | 'operation' | 'status' | 'ending' | 'code' | 'backend' | 'deployment', string>
  >;
  count: number;
  promptTokens: number;
  completionTokens: number;
  readonly heldMs: number[];
}

/** Attempts that are alike. */
interface Attempts {
  readonly labels: Readonly<Record<'backend' | 'deployment' | 'outcome', string>>;
  readonly isLast: boolean;
  count: number;
  readonly firstContentMs: number[];
}

/** Kinds of requests, and of attempts, that are told apart between two batches; further ones are `other`. */
const MOST_KINDS = 500;
/** Of one kind between two batches: a distribution needs no more. */
const MOST_VALUES = 200;
const NOBODY = 'none';
const OTHER = 'other';
const NOT_LET_IN = 'client_not_allowed';
/** After one of these no other backend is asked. */
const LAST: ReadonlySet<string> = new Set(['served', 'refused', 'broken', 'abandoned']);

export interface Measures {
  readonly observe: Observe;
  /** What came together since it was last asked. */
  readonly take: () => readonly MeasureData[];
}

export function createMeasures(): Measures {
  let requests = new Map<string, Requests>();
  let attempts = new Map<string, Attempts>();

  function onFinished(event: Finished): void {
    const { usage, heldMs } = event;
    const alike = requestsLike(event);
    alike.count += 1;
    if (usage !== undefined) {
      alike.promptTokens += usage.promptTokens;
      alike.completionTokens += usage.completionTokens;
    }
    if (heldMs !== undefined) keep(alike.heldMs, heldMs);
  }

  function requestsLike(event: Finished): Requests {
    const { status, ending, code = '', backend = NOBODY } = event;
    const client = event.client === '' || code === NOT_LET_IN ? NOBODY : event.client;
    const operation = event.operation === '' ? NOBODY : event.operation;
    const key = `${client}\n${operation}\n${status} ${ending} ${code}\n${backend}\n${event.deployment}`;
    const known = requests.get(key);
    if (known !== undefined) return known;
    const isRoom = requests.size < MOST_KINDS;
    const named = isRoom ? { client, deployment: event.deployment } : { client: OTHER, deployment: OTHER };
    const labels = { ...named, operation, status: String(status), ending, code, backend };
    const made = { labels, count: 0, promptTokens: 0, completionTokens: 0, heldMs: [] };
    return put(requests, isRoom ? key : `\n${operation}\n${status} ${ending} ${code}\n${backend}`, made);
  }

  function onEnded({ backend, deployment, outcome, firstContentMs }: Ended): void {
    const what = outcome.kind === 'failed' ? outcome.cause : outcome.kind;
    const key = `${backend}\n${deployment}\n${what}`;
    const alike = attempts.get(key) ?? attemptsLike(key, backend, deployment, what);
    alike.count += 1;
    if (firstContentMs !== undefined) keep(alike.firstContentMs, firstContentMs);
  }

  function attemptsLike(key: string, backend: string, deployment: string, outcome: string): Attempts {
    const isRoom = attempts.size < MOST_KINDS;
    const labels = { backend, deployment: isRoom ? deployment : OTHER, outcome };
    const made = { labels, isLast: LAST.has(outcome), count: 0, firstContentMs: [] };
    return put(attempts, isRoom ? key : `${backend}\n\n${outcome}`, made);
  }

  return {
    observe(event) {
      if (event.kind === 'request-finished') onFinished(event);
      else if (event.kind === 'attempt-ended') onEnded(event);
    },
    take() {
      const taken = [
        ...[...requests.values()].flatMap(measuresOfRequests),
        ...[...attempts.values()].flatMap(measuresOfAttempts),
      ];
      requests = new Map();
      attempts = new Map();
      return taken;
    },
  };
}

function measuresOfRequests({
  labels,
  count,
  promptTokens,
  completionTokens,
  heldMs,
}: Requests): readonly MeasureData[] {
  return [
    measure('balancer.requests', 'sum', labels, [count]),
    measure('balancer.held_ms', 'values', labels, heldMs),
    measure('balancer.tokens', 'sum', { ...labels, type: 'prompt' }, promptTokens > 0 ? [promptTokens] : []),
    measure(
      'balancer.tokens',
      'sum',
      { ...labels, type: 'completion' },
      completionTokens > 0 ? [completionTokens] : [],
    ),
  ].filter(({ values }) => values.length > 0);
}

function measuresOfAttempts({ labels, isLast, count, firstContentMs }: Attempts): readonly MeasureData[] {
  return [
    measure('balancer.attempts', 'sum', labels, [count]),
    measure('balancer.failovers', 'sum', labels, isLast ? [] : [count]),
    measure('balancer.first_content_ms', 'values', labels, firstContentMs),
  ].filter(({ values }) => values.length > 0);
}

/** With those labels that the metric has. */
function measure(
  name: Name,
  kind: MeasureData['kind'],
  labels: Readonly<Record<string, string>>,
  values: readonly number[],
): MeasureData {
  const dimensions = Object.fromEntries(MEASURES[name].map((label) => [label, labels[label] ?? '']));
  return { name, kind, dimensions, values };
}

/** What is there under this key, else this. */
function put<T>(all: Map<string, T>, key: string, made: T): T {
  const known = all.get(key);
  if (known !== undefined) return known;
  all.set(key, made);
  return made;
}

function keep(values: number[], value: number): void {
  if (values.length < MOST_VALUES) values.push(Math.round(value));
}
