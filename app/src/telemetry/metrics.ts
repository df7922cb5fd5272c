/**
 * What programs watch, for Prometheus: a fold over the events, and what is so at the moment. Names and labels are those
 * of OpenTelemetry's conventions for HTTP and GenAI where these have one. Label sets are bounded whatever callers send:
 * names that a stranger can choose become `other` after the first few. Times are seconds, as Prometheus has them.
 */
import type { Usage } from '../balancer/outcome.ts';
import type { PoolSnapshot } from '../balancer/snapshot.ts';
import { VERSION } from '../version.ts';
import { boundedNames, OTHER } from './bounded-names.ts';
import type { Observe, ProxyEvent } from './events.ts';
import { createExposition, type Exposition, type GaugeFamily } from './exposition.ts';
import { COUNTERS, HISTOGRAMS } from './metric-forms.ts';
import { errorType, isFailure, outcomeWord } from './outcome-words.ts';
import { POOL_GAUGES, poolSamples, type Sample } from './pool-gauges.ts';
import { at, counters, histograms, Kept, type Spread, type Tally } from './tallies.ts';

export interface Gauges {
  readonly requestsInFlight: () => number;
  readonly bytesBuffered: () => number;
  readonly requestsHeld: () => number;
  readonly pool: () => PoolSnapshot;
  /** Clock ms, of the pool's clock. */
  readonly now: () => number;
}

export interface Metrics {
  readonly observe: Observe;
  readonly render: () => Promise<Exposition>;
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
/** More than there are requests at a time, as a rule. */
const MOST_FAILED = 10_000;
const NOBODY = 'none';
const NOT_LET_IN = 'client_not_allowed';
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** What the conventions call these; other operations keep their names. */
const GEN_AI_OPERATIONS: Readonly<Record<string, string>> = {
  'chat/completions': 'chat',
  'extensions/chat/completions': 'chat',
  responses: 'chat',
  completions: 'text_completion',
};
const PROVIDER = { gen_ai_provider_name: 'azure.ai.openai' };

type Event<K extends ProxyEvent['kind']> = Extract<ProxyEvent, { kind: K }>;

/** What is counted of attempts that came to the same. */
interface AttemptTallies {
  readonly attempts: Tally;
  readonly durations: Spread;
  readonly firstChunks: () => Spread;
}

/** What is counted of requests that spent tokens. */
interface UsageTallies {
  readonly input: Tally;
  readonly output: Tally;
  readonly inputs: Spread;
  readonly outputs: Spread;
  readonly cached: () => Tally;
  readonly reasoning: () => Tally;
}

/** The last attempt of a request, which failed. */
interface Failed {
  readonly backend: string;
  readonly reason: string;
}

export function createMetrics({ gauges, withProcess }: MetricsParts): Metrics {
  const clientLabel = boundedNames(MOST_CLIENTS);
  const modelLabel = boundedNames(MOST_DEPLOYMENTS);
  const { counted, timed } = families();
  const attemptTallies = new Kept<AttemptTallies>();
  const requestTallies = new Kept<Tally>();
  const requestSpreads = new Kept<Spread>();
  const usageTallies = new Kept<UsageTallies>();
  const firstContents = new Map<string, Spread>();
  /** By request: until its next attempt begins, or it ends. */
  const failed = new Map<string, Failed>();

  function onStarted({ requestId, backend }: Event<'attempt-started'>): void {
    if (failed.size === 0) return;
    const last = failed.get(requestId);
    failed.delete(requestId);
    if (last === undefined || last.backend === backend) return;
    counted.failovers.child({ from_backend: last.backend, reason: last.reason }).add();
  }

  function onEnded({ requestId, backend, deployment, operation, outcome, ...took }: Event<'attempt-ended'>): void {
    const model = modelLabel(deployment);
    const word = outcomeWord(outcome);
    const what = outcome.kind === 'refused' ? outcome.status : word;
    const found = attemptTallies.at(backend, model, operation, what, () => {
      const labels = genAiLabels(operation, model, backend);
      const error = errorType(outcome);
      return {
        attempts: counted.attempts.child({ backend, gen_ai_request_model: model, outcome: word }),
        durations: timed.operations.child(error === undefined ? labels : { ...labels, error_type: error }),
        firstChunks: once(() => timed.firstChunks.child(labels)),
      };
    });
    found.attempts.add();
    found.durations.observe(took.durationMs / 1000);
    if (took.firstContentMs !== undefined) found.firstChunks().observe(took.firstContentMs / 1000);
    if (isFailure(outcome)) remember(requestId, { backend, reason: word });
  }

  function remember(requestId: string, last: Failed): void {
    if (failed.size >= MOST_FAILED) failed.clear();
    failed.set(requestId, last);
  }

  function onFinished(event: Event<'request-finished'>): void {
    const { operation, status, ending, code, spilledFrom, heldMs, firstContentMs, backend = NOBODY } = event;
    if (failed.size > 0) failed.delete(event.requestId);
    // Whoever is not let in must not take the place of somebody who is.
    const client = event.client === '' || code === NOT_LET_IN ? NOBODY : clientLabel(event.client);
    requestTallies
      .at(client, operation, ending, status, () => counted.requests.child({ client, ...answeredLabels(event), ending }))
      .add();
    if (code !== undefined) counted.errors.child({ client, error_type: code }).add();
    if (operation === '') return; // It was turned away at the door, and took no time worth telling.
    spreadOf(event).observe(event.durationMs / 1000);
    if (firstContentMs !== undefined) {
      const make = (): Spread => timed.firstContents.child({ http_route: routeOf(operation) });
      at(firstContents, operation, make).observe(firstContentMs / 1000);
    }
    if (heldMs !== undefined) timed.holds.child({ ending }).observe(heldMs / 1000);
    if (spilledFrom !== undefined) counted.spillovers.child({ backend, from_backend: spilledFrom }).add();
    if (event.usage !== undefined) onUsage(event, event.usage, client, backend);
  }

  function spreadOf(event: Event<'request-finished'>): Spread {
    const { operation, status, ending, code } = event;
    const method = METHODS.has(event.method) ? event.method : '_OTHER';
    const error = code ?? (ending === 'delivered' ? '' : ending);
    return requestSpreads.at(method, operation, error, status, () =>
      timed.durations.child({
        http_request_method: method,
        ...answeredLabels(event),
        ...(error === '' ? {} : { error_type: error }),
      }),
    );
  }

  function onUsage(event: Event<'request-finished'>, usage: Usage, client: string, backend: string): void {
    const { operation, deployment } = event;
    const model = modelLabel(deployment);
    const labels = { client, backend, gen_ai_request_model: model };
    const { promptTokens, completionTokens, cachedTokens, reasoningTokens } = usage;
    if (usage.isEstimated === true) {
      counted.estimatedTokens.child({ ...labels, gen_ai_token_type: 'input' }).add(promptTokens);
      counted.estimatedTokens.child({ ...labels, gen_ai_token_type: 'output' }).add(completionTokens);
      return;
    }
    const found = usageTallies.at(client, backend, model, operation, () => {
      const call = genAiLabels(operation, model, backend);
      return {
        input: counted.tokens.child({ ...labels, gen_ai_token_type: 'input' }),
        output: counted.tokens.child({ ...labels, gen_ai_token_type: 'output' }),
        inputs: timed.usage.child({ ...call, gen_ai_token_type: 'input' }),
        outputs: timed.usage.child({ ...call, gen_ai_token_type: 'output' }),
        cached: once(() => counted.cachedTokens.child(labels)),
        reasoning: once(() => counted.reasoningTokens.child(labels)),
      };
    });
    found.input.add(promptTokens);
    found.output.add(completionTokens);
    found.inputs.observe(promptTokens);
    found.outputs.observe(completionTokens);
    if (cachedTokens !== undefined) found.cached().add(cachedTokens);
    if (reasoningTokens !== undefined) found.reasoning().add(reasoningTokens);
  }

  function onStateChanged({ change, now }: Event<'state-changed'>): void {
    const { backend, deployment, to } = change;
    const labels = {
      backend: backend.name,
      ...(deployment === undefined ? {} : { gen_ai_request_model: modelLabel(deployment) }),
    };
    if (to.kind === 'cooldown') {
      counted.cooldowns.child(labels).add();
      counted.cooldownSeconds.child(labels).add(Math.max(0, to.recoversAt - now) / 1000);
    } else if ('until' in to) counted.ejections.child({ ...labels, state: to.kind }).add();
  }

  function observe(event: ProxyEvent): void {
    switch (event.kind) {
      case 'attempt-started':
        return onStarted(event);
      case 'attempt-ended':
        return onEnded(event);
      case 'request-finished':
        return onFinished(event);
      case 'state-changed':
        return onStateChanged(event);
      case 'connection-refused':
        return counted.errors.child({ client: NOBODY, error_type: event.code }).add();
      case 'limit-changed':
      case 'notice':
        return undefined;
      default:
        return event satisfies never;
    }
  }

  /** Deployments that share a name have no state that could be told by it. */
  function ownLabel(deployment: string): string | undefined {
    const label = modelLabel(deployment);
    return label === OTHER ? undefined : label;
  }

  let samples: readonly Sample[] = [];
  const expose = createExposition({
    counters: Object.values(counted),
    histograms: Object.values(timed),
    gauges: gaugesOf(gauges, () => samples),
    withProcess,
  });
  return {
    observe,
    render() {
      samples = poolSamples(gauges.pool(), ownLabel, gauges.now());
      return expose();
    },
  };
}

function families() {
  const counted = {
    requests: counters(COUNTERS.requests),
    errors: counters(COUNTERS.errors),
    attempts: counters(COUNTERS.attempts),
    failovers: counters(COUNTERS.failovers),
    spillovers: counters(COUNTERS.spillovers),
    cooldowns: counters(COUNTERS.cooldowns),
    cooldownSeconds: counters(COUNTERS.cooldownSeconds),
    ejections: counters(COUNTERS.ejections),
    tokens: counters(COUNTERS.tokens),
    cachedTokens: counters(COUNTERS.cachedTokens),
    reasoningTokens: counters(COUNTERS.reasoningTokens),
    estimatedTokens: counters(COUNTERS.estimatedTokens),
  };
  const timed = {
    durations: histograms(HISTOGRAMS.durations),
    firstContents: histograms(HISTOGRAMS.firstContents),
    holds: histograms(HISTOGRAMS.holds),
    operations: histograms(HISTOGRAMS.operations),
    firstChunks: histograms(HISTOGRAMS.firstChunks),
    usage: histograms(HISTOGRAMS.usage),
  };
  return { counted, timed };
}

function gaugesOf(gauges: Gauges, samples: () => readonly Sample[]): readonly GaugeFamily[] {
  const single = (name: string, help: string, read: () => number, labels: Sample['labels'] = {}): GaugeFamily => ({
    name,
    help,
    labelNames: Object.keys(labels),
    samples: () => [{ labels, value: read() }],
  });
  return [
    single('http_server_active_requests', 'Requests that were let in and have not ended.', gauges.requestsInFlight),
    single('balancer_requests_held', 'Requests that wait for a throttled backend.', gauges.requestsHeld),
    single('balancer_buffered_bytes', 'Bytes of request bodies that are held.', gauges.bytesBuffered),
    single('balancer_build_info', 'Always 1: the version of the balancer and of Node.js.', () => 1, {
      version: VERSION,
      node_version: process.version,
    }),
    ...Object.entries(POOL_GAUGES).map(([name, { help, labelNames }]) => ({
      name,
      help,
      labelNames,
      samples: () => samples().filter((sample) => sample.name === name),
    })),
  ];
}

function genAiLabels(operation: string, model: string, backend: string) {
  const name = GEN_AI_OPERATIONS[operation] ?? operation;
  return { gen_ai_operation_name: name, ...PROVIDER, gen_ai_request_model: model, backend };
}

function answeredLabels({ operation, status }: Pick<Event<'request-finished'>, 'operation' | 'status'>) {
  return { http_route: routeOf(operation), http_response_status_code: status };
}

/** The form without a prefix stands for all forms of a path. */
function routeOf(operation: string): string {
  if (operation === '') return NOBODY;
  return operation === OTHER ? OTHER : `/${operation}`;
}

/** Makes it when it is first asked for. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
