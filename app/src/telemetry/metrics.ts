/**
 * What programs watch: counters and gauges for Prometheus, a fold over the events. The only importer of prom-client.
 * Label sets are bounded whatever callers send: names that a stranger can choose become `other` after the first few.
 * Times are seconds, as Prometheus has them.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Observe, ProxyEvent } from './events.ts';

export interface Gauges {
  readonly requestsInFlight: () => number;
  readonly bytesBuffered: () => number;
  readonly requestsHeld: () => number;
  readonly utilizations: () => readonly Utilization[];
}

/** Of a provisioned deployment: so much of it is in use, 1 when it is full. */
export interface Utilization {
  readonly backend: string;
  readonly deployment: string;
  readonly ratio: number;
}

export interface Metrics {
  readonly observe: Observe;
  /** The text that Prometheus reads, and its content type. */
  readonly render: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

export interface MetricsParts {
  readonly gauges: Gauges;
  /** Memory, CPU and event loop of this process too: one balancer a process. */
  readonly withProcess: boolean;
}

/** Clients are known, but a tenant may have tens of thousands. */
const MOST_CLIENTS = 200;
/** Any caller who is let in can name deployments. */
const MOST_DEPLOYMENTS = 100;
const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const NOBODY = 'none';
const NOT_LET_IN = 'client_not_allowed';

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;
type Ended = Extract<ProxyEvent, { kind: 'attempt-ended' }>;

export function createMetrics({ gauges, withProcess }: MetricsParts): Metrics {
  const registers = [new Registry()];
  const [registry = new Registry()] = registers;
  if (withProcess) collectDefaultMetrics({ register: registry });
  const clientLabel = bounded(MOST_CLIENTS);
  const deploymentLabel = bounded(MOST_DEPLOYMENTS);

  const requests = new Counter({
    name: 'balancer_requests_total',
    help: 'Requests that ended, by client, operation, status and ending (delivered, broken, abandoned, refused).',
    labelNames: ['client', 'operation', 'status', 'ending'],
    registers,
  });
  const refusals = new Counter({
    name: 'balancer_errors_total',
    help: 'Errors made here, by their code; a client is known or none.',
    labelNames: ['client', 'code'],
    registers,
  });
  const durations = new Histogram({
    name: 'balancer_request_duration_seconds',
    help: 'From the beginning of a request that was let in to its end, by operation.',
    labelNames: ['operation'],
    buckets: SECONDS,
    registers,
  });
  const attempts = new Counter({
    name: 'balancer_attempts_total',
    help: 'Attempts at backends, by what they came to.',
    labelNames: ['backend', 'outcome'],
    registers,
  });
  const tokens = new Counter({
    name: 'balancer_tokens_total',
    help: 'Tokens that backends said they counted, prompt and completion.',
    labelNames: ['client', 'backend', 'deployment', 'type'],
    registers,
  });
  const spillovers = new Counter({
    name: 'balancer_spillovers_total',
    help: 'Requests that a backend of a worse priority answered because the better one was throttled.',
    labelNames: ['backend', 'spilled_from'],
    registers,
  });
  const utilization = new Gauge({
    name: 'balancer_utilization_ratio',
    help: 'How much of a provisioned deployment is in use, as its last answer said; 1 when it is full.',
    labelNames: ['backend', 'deployment'],
    registers,
    collect() {
      this.reset();
      for (const { backend, deployment, ratio } of gauges.utilizations()) {
        this.set({ backend, deployment: deploymentLabel(deployment) }, ratio);
      }
    },
  });
  void utilization;
  gauge(registers, 'balancer_requests_in_flight', 'Requests that were let in and have not ended.', () =>
    gauges.requestsInFlight(),
  );
  gauge(registers, 'balancer_requests_held', 'Requests that wait for a throttled backend.', () =>
    gauges.requestsHeld(),
  );
  gauge(registers, 'balancer_bytes_buffered', 'Bytes of request bodies that are held.', () => gauges.bytesBuffered());

  function onFinished(event: Finished): void {
    const { status, ending, code, usage, spilledFrom, backend = NOBODY } = event;
    // Whoever is not let in must not take the place of somebody who is.
    const client = event.client === '' || code === NOT_LET_IN ? NOBODY : clientLabel(event.client);
    const operation = event.operation === '' ? NOBODY : event.operation;
    requests.inc({ client, operation, status, ending });
    if (code !== undefined) refusals.inc({ client, code });
    if (event.attempts > 0) durations.observe({ operation }, event.durationMs / 1000);
    if (spilledFrom !== undefined) spillovers.inc({ backend, spilled_from: spilledFrom });
    if (usage === undefined) return;
    const labels = { client, backend, deployment: deploymentLabel(event.deployment) };
    tokens.inc({ ...labels, type: 'prompt' }, usage.promptTokens);
    tokens.inc({ ...labels, type: 'completion' }, usage.completionTokens);
  }

  function onEnded({ backend, outcome }: Ended): void {
    attempts.inc({ backend, outcome: outcome.kind === 'failed' ? outcome.cause : outcome.kind });
  }

  return {
    observe(event) {
      if (event.kind === 'request-finished') onFinished(event);
      else if (event.kind === 'attempt-ended') onEnded(event);
      else if (event.kind === 'connection-refused') refusals.inc({ client: NOBODY, code: event.code });
    },
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function gauge(registers: Registry[], name: string, help: string, read: () => number): void {
  const collect = function (this: Gauge): void {
    this.set(read());
  };
  // It is read by the registry that it belongs to.
  void new Gauge({ name, help, registers, collect });
}

/** The first so many names are themselves, made printable, all further ones `other`. */
function bounded(most: number): (name: string) => string {
  const known = new Set<string>();
  return (text) => {
    const name = text.replaceAll(/[^\n\x20-\x7e]/g, '?');
    if (known.has(name)) return name;
    if (known.size >= most) return 'other';
    known.add(name);
    return name;
  };
}
