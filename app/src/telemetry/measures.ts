/**
 * Custom metrics: a small set, summed here so that every request counts in them, sampled or not. A fold over the events.
 * Label sets are bounded whatever callers send.
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

interface Series {
  readonly name: Name;
  readonly kind: MeasureData['kind'];
  readonly dimensions: Readonly<Record<string, string>>;
  readonly values: number[];
}

/** Between two batches; what is beyond goes into `other`, so that sums stay right. */
const MOST_SERIES = 1000;
/** Of one series between two batches: a distribution needs no more. */
const MOST_VALUES = 200;
const NOBODY = 'none';
const NOT_LET_IN = 'client_not_allowed';

export interface Measures {
  readonly observe: Observe;
  /** What came together since it was last asked. */
  readonly take: () => readonly MeasureData[];
}

export function createMeasures(): Measures {
  let series = new Map<string, Series>();

  function seriesOf(name: Name, kind: MeasureData['kind'], labels: readonly string[]): Series {
    const key = `${name}\n${labels.join('\n')}`;
    const known = series.get(key);
    if (known !== undefined) return known;
    const names: readonly string[] = MEASURES[name];
    if (series.size >= MOST_SERIES && labels.some((label) => label !== OTHER)) {
      return seriesOf(
        name,
        kind,
        names.map(() => OTHER),
      );
    }
    const dimensions = Object.fromEntries(names.map((label, index) => [label, labels[index] ?? '']));
    const made = { name, kind, dimensions, values: [] };
    series.set(key, made);
    return made;
  }

  function add(name: Name, value: number, ...labels: readonly string[]): void {
    const { values } = seriesOf(name, 'sum', labels);
    values[0] = (values[0] ?? 0) + value;
  }

  function measure(name: Name, value: number | undefined, ...labels: readonly string[]): void {
    if (value === undefined) return;
    const { values } = seriesOf(name, 'values', labels);
    if (values.length < MOST_VALUES) values.push(Math.round(value));
  }

  function onFinished(event: Finished): void {
    const { status, ending, code = '', usage, deployment, backend = NOBODY } = event;
    const client = event.client === '' || code === NOT_LET_IN ? NOBODY : event.client;
    const operation = event.operation === '' ? NOBODY : event.operation;
    add('balancer.requests', 1, client, operation, String(status), ending, code);
    measure('balancer.held_ms', event.heldMs, deployment);
    if (usage === undefined) return;
    add('balancer.tokens', usage.promptTokens, client, backend, deployment, 'prompt');
    add('balancer.tokens', usage.completionTokens, client, backend, deployment, 'completion');
  }

  function onEnded({ backend, deployment, outcome, firstContentMs }: Ended): void {
    const what = outcome.kind === 'failed' ? outcome.cause : outcome.kind;
    add('balancer.attempts', 1, backend, deployment, what);
    if (!LAST.has(outcome.kind)) add('balancer.failovers', 1, backend, deployment, what);
    measure('balancer.first_content_ms', firstContentMs, backend, deployment);
  }

  return {
    observe(event) {
      if (event.kind === 'request-finished') onFinished(event);
      else if (event.kind === 'attempt-ended') onEnded(event);
    },
    take() {
      const taken = [...series.values()];
      series = new Map();
      return taken;
    },
  };
}

const OTHER = 'other';
/** After one of these no other backend is asked. */
const LAST: ReadonlySet<string> = new Set(['served', 'refused', 'broken', 'abandoned']);
