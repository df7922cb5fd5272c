/**
 * The thread that sends telemetry to Application Insights. The only importer of applicationinsights; started by
 * insights.ts when there is a connection string, so that nobody else pays for loading it.
 *
 * It is a thread of its own because the SDK patches modules, sets globals, reads the environment, and calls hosts that
 * nobody configured (its own statistics and settings, the metadata of a virtual machine). Here it patches only what this
 * thread uses, and `confine` lets it connect to the ingestion endpoint and to nothing else.
 */
import diagnostics from 'node:diagnostics_channel';
import { Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { metrics, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags, type Context } from '@opentelemetry/api';
import { logs, SeverityNumber } from '@opentelemetry/api-logs';
import { shutdownAzureMonitor, useAzureMonitor } from 'applicationinsights';
import type { FromSender, LineData, MeasureData, SenderData, SpanData, ToSender } from './insights-data.ts';

/** Becomes an item's weight; the decision was made where the trace began. */
const SAMPLE_RATE = 'microsoft.sample_rate';

const TOKEN_KEPT_MS = 5 * 60_000;

const INSTRUMENTATIONS = [
  'http',
  'azureSdk',
  'mongoDb',
  'mySql',
  'postgreSql',
  'redis',
  'redis4',
  'bunyan',
  'winston',
  'console',
] as const;

const SEVERITIES = {
  info: SeverityNumber.INFO,
  warning: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const satisfies Record<LineData['level'], SeverityNumber>;

/** A connection to anything but the endpoint fails at once, whoever in this thread asks for it. */
function confine(endpoint: URL): void {
  const port = endpoint.port === '' ? { 'https:': '443', 'http:': '80' }[endpoint.protocol] : endpoint.port;
  const host = endpoint.hostname.replaceAll(/^\[|\]$/g, '');
  const connect: unknown = Reflect.get(Socket.prototype, 'connect');
  if (typeof connect !== 'function') throw new Error('sockets cannot be confined');
  Reflect.set(Socket.prototype, 'connect', function (this: Socket, ...args: unknown[]): Socket {
    const [first] = args;
    const target: unknown = Array.isArray(first) ? first[0] : first;
    const named: { host?: unknown; port?: unknown } = typeof target === 'object' && target !== null ? target : {};
    if (named.host === host && String(named.port) === port) return Reflect.apply(connect, this, args);
    const refused = { code: 'ECONFINED', target: `${String(named.host)}:${String(named.port)}` };
    // Later: whoever asked has not begun to listen for errors yet.
    setImmediate(() => this.destroy(Object.assign(new Error('not the ingestion endpoint'), refused)));
    return this;
  });
}

/** Tells of every answer of the endpoint, and of every failure to get one. */
function watch({ hostname }: URL, tell: (message: FromSender) => void): void {
  const isOurs = (message: object): boolean => {
    const request: unknown = Reflect.get(message, 'request');
    return typeof request === 'object' && request !== null && Reflect.get(request, 'host') === hostname;
  };
  diagnostics.subscribe('http.client.response.finish', (message) => {
    if (typeof message !== 'object' || message === null || !isOurs(message)) return;
    const response: unknown = Reflect.get(message, 'response');
    const status = typeof response === 'object' && response !== null ? Number(Reflect.get(response, 'statusCode')) : 0;
    tell(status >= 200 && status < 300 ? { kind: 'sent' } : { kind: 'unsent', reason: `it answers ${status}` });
  });
  diagnostics.subscribe('http.client.request.error', (message) => {
    if (typeof message !== 'object' || message === null || !isOurs(message)) return;
    const error: unknown = Reflect.get(message, 'error');
    const code = typeof error === 'object' && error !== null ? String(Reflect.get(error, 'code')) : 'unreachable';
    tell({ kind: 'unsent', reason: code });
  });
}

interface Token {
  readonly token: string;
  readonly expiresOnTimestamp: number;
}

/** Tokens come from the other side: this one can reach no identity. They are renewed there, so it asks often. */
class Tokens {
  private readonly ask: () => void;
  private waiting: { readonly give: (token: Token) => void; readonly fail: (error: Error) => void }[] = [];

  constructor(ask: () => void) {
    this.ask = ask;
  }

  getToken(): Promise<Token> {
    return new Promise((give, fail) => {
      this.waiting.push({ give, fail });
      if (this.waiting.length === 1) this.ask();
    });
  }

  give(token: string | undefined): void {
    const { waiting } = this;
    this.waiting = [];
    for (const { give, fail } of waiting) {
      if (token === undefined) fail(new Error('no token'));
      else give({ token, expiresOnTimestamp: Date.now() + TOKEN_KEPT_MS });
    }
  }
}

function start({ connectionString, endpoint, byIdentity }: SenderData, tokens: Tokens): void {
  const isPlain = endpoint.startsWith('http:');
  useAzureMonitor({
    azureMonitorExporterOptions: {
      connectionString,
      disableOfflineStorage: true,
      ...(byIdentity ? { credential: tokens } : {}),
      // The SDK takes every endpoint for https; a stand-in on this machine may be plain.
      ...(isPlain ? { host: endpoint, allowInsecureConnection: true } : {}),
    },
    instrumentationOptions: Object.fromEntries(INSTRUMENTATIONS.map((name) => [name, { enabled: false }])),
    enableLiveMetrics: false,
    enableStandardMetrics: false,
    enablePerformanceCounters: false,
    enableAutoCollectExceptions: false,
    enableAutoCollectPerformance: false,
    tracesPerSecond: 0,
    samplingRatio: 1,
  });
}

function contextOf(traceId: string, spanId: string): Context {
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });
}

function sendSpan(data: SpanData): void {
  const { traceId, spanId, parentId, samplePercent } = data;
  const span = trace.getTracer('balancer').startSpan(
    data.name,
    {
      kind: data.kind === 'server' ? SpanKind.SERVER : SpanKind.CLIENT,
      startTime: data.startMs,
      attributes: samplePercent === undefined ? data.attributes : { ...data.attributes, [SAMPLE_RATE]: samplePercent },
    },
    parentId === undefined ? ROOT_CONTEXT : contextOf(traceId, parentId),
  );
  // The ids went upstream long ago; the SDK makes its own and has no way to be given any but this.
  Object.assign(span.spanContext(), { traceId, spanId });
  span.setStatus({ code: data.isError ? SpanStatusCode.ERROR : SpanStatusCode.OK });
  span.end(data.endMs);
}

function sendLine({ level, text, atMs, attributes, traceId, spanId }: LineData): void {
  logs.getLogger('balancer').emit({
    severityNumber: SEVERITIES[level],
    body: text,
    timestamp: atMs,
    attributes,
    ...(traceId === undefined || spanId === undefined ? {} : { context: contextOf(traceId, spanId) }),
  });
}

function sendMeasure({ name, kind, dimensions, values }: MeasureData): void {
  const meter = metrics.getMeter('balancer');
  for (const value of values) {
    if (kind === 'sum') meter.createCounter(name).add(value, dimensions);
    else meter.createHistogram(name).record(value, dimensions);
  }
}

function run(port: NonNullable<typeof parentPort>, data: SenderData): void {
  const tell = (message: FromSender): void => port.postMessage(message);
  const endpoint = new URL(data.endpoint);
  confine(endpoint);
  watch(endpoint, tell);
  const tokens = new Tokens(() => tell({ kind: 'token-wanted' }));
  start(data, tokens);
  port.on('message', (message: ToSender) => {
    if (message.kind === 'token') return tokens.give(message.token);
    if (message.kind === 'close') {
      void shutdownAzureMonitor().then(
        () => tell({ kind: 'closed' }),
        () => tell({ kind: 'closed' }),
      );
      return;
    }
    const { spans, lines, measures } = message.batch;
    for (const span of spans) sendSpan(span);
    for (const line of lines) sendLine(line);
    for (const measure of measures) sendMeasure(measure);
    tell({ kind: 'took' });
  });
}

if (parentPort !== null) run(parentPort, workerData);
