/**
 * Traces: one span a request with one child an attempt, a fold over the events. What is not sampled costs a comparison.
 * docs/application-insights.md names every attribute; a test compares.
 */
import type { Outcome, Usage } from '../balancer/outcome.ts';
import type { Observe, ProxyEvent, SpanIds } from './events.ts';
import type { Attributes, SpanData } from './insights-data.ts';

type Started = Extract<ProxyEvent, { kind: 'attempt-started' }>;
type Ended = Extract<ProxyEvent, { kind: 'attempt-ended' }>;
type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;

/** One attempt of a request that is in progress. */
interface Attempt {
  readonly span: SpanIds;
  readonly startMs: number;
  readonly started?: Started;
  readonly ended?: Ended;
  readonly endMs?: number;
}

type Loose = Readonly<Record<string, string | number | boolean | undefined>>;

/** Paths can be as long as all headers together. */
const LONGEST_TEXT = 500;

/** @param wallClockMs since the epoch */
export function createSpans(wallClockMs: () => number, emit: (span: SpanData) => void): Observe {
  /** Request → its attempts, in order; no more requests than are in progress. */
  const open = new Map<string, Attempt[]>();

  function onStarted(started: Started, span: SpanIds): void {
    const attempt = { span, startMs: wallClockMs(), started };
    const attempts = open.get(started.requestId);
    if (attempts === undefined) open.set(started.requestId, [attempt]);
    else attempts.push(attempt);
  }

  function onEnded(ended: Ended, span: SpanIds): void {
    const endMs = wallClockMs();
    const attempts = open.get(ended.requestId) ?? [];
    const last = attempts.at(-1);
    if (last?.span.spanId === span.spanId) attempts[attempts.length - 1] = { ...last, ended, endMs };
    else attempts.push({ span, startMs: endMs - ended.durationMs, ended, endMs });
    open.set(ended.requestId, attempts);
  }

  function onFinished(finished: Finished, span: SpanIds): void {
    const endMs = wallClockMs();
    const attempts = open.get(finished.requestId) ?? [];
    open.delete(finished.requestId);
    // The event may be told a little after its end: no attempt began before its request.
    const startMs = Math.min(endMs - finished.durationMs, attempts[0]?.startMs ?? endMs);
    emit({
      ...idsOf(span),
      kind: 'server',
      name: nameOf(finished),
      startMs,
      endMs,
      isError: isFailed(finished),
      attributes: requestAttributes(finished),
    });
    for (const attempt of attempts) emit(attemptSpan(attempt, finished, endMs));
  }

  return (event) => {
    if (event.kind === 'attempt-started') {
      if (event.span?.isSampled === true) onStarted(event, event.span);
    } else if (event.kind === 'attempt-ended') {
      if (event.span?.isSampled === true) onEnded(event, event.span);
    } else if (event.kind === 'request-finished') {
      if (event.span?.isSampled === true) onFinished(event, event.span);
    }
  };
}

/** `POST chat/completions` */
function nameOf({ method, operation }: Finished): string {
  return `${method} ${operation}`;
}

/** A caller who left is no failure of ours. */
function isFailed({ ending, status }: Finished): boolean {
  return ending !== 'abandoned' && (ending !== 'delivered' || status >= 400);
}

function requestAttributes(event: Finished): Attributes {
  return compact({
    'http.request.method': event.method,
    'http.response.status_code': event.status,
    request_id: event.requestId,
    path: event.path,
    client: event.client,
    operation: event.operation,
    deployment: event.deployment,
    stream: event.stream,
    ending: event.ending,
    code: event.code,
    backend: event.backend,
    attempts: event.attempts,
    trace: event.trace,
    reasons: event.reasons,
    spilled_from: event.spilledFrom,
    spillover: event.spillover,
    held_ms: event.heldMs,
    first_content_ms: event.firstContentMs,
    ...tokensOf(event.usage),
  });
}

/** An attempt without an end met a bug. */
function attemptSpan(
  { span, startMs, started, ended, endMs }: Attempt,
  finished: Finished,
  finishedMs: number,
): SpanData {
  const { backend = '', deployment = '' } = ended ?? started ?? {};
  const outcome = ended?.outcome;
  return {
    ...idsOf(span),
    kind: 'client',
    name: backend,
    startMs,
    endMs: Math.max(startMs, endMs ?? finishedMs),
    isError: outcome?.kind !== 'served' && outcome?.kind !== 'abandoned',
    attributes: compact({
      'ai.operation.name': nameOf(finished),
      'http.request.method': finished.method,
      ...(started === undefined ? {} : askedOf(started)),
      'gen_ai.provider.name': 'azure.ai.openai',
      'gen_ai.request.model': deployment,
      request_id: finished.requestId,
      backend,
      deployment,
      first_content_ms: ended?.firstContentMs,
      ...(outcome === undefined ? { outcome: 'unknown' } : attributesOf(outcome)),
    }),
  };
}

/** Where it was asked, as Application Insights shows it, and how it came to be asked. */
function askedOf({ url, attempt, probe, spilledFrom }: Started): Loose {
  const [scheme = '', rest = ''] = url.split('://', 2);
  const slash = rest.indexOf('/');
  const [host, path] = slash === -1 ? [rest, '/'] : [rest.slice(0, slash), rest.slice(slash)];
  return {
    'url.scheme': scheme,
    'server.address': host,
    'url.path': path,
    attempt,
    probe: probe ? true : undefined,
    spilled_from: spilledFrom,
  };
}

/** What it came to, and why the request went on from there. */
function attributesOf(outcome: Outcome): Loose {
  const { kind } = outcome;
  switch (kind) {
    case 'served':
    case 'refused':
      return { outcome: kind, 'http.response.status_code': outcome.status, ...tokensOf(outcome.usage) };
    case 'throttled':
      return {
        outcome: kind,
        reason: outcome.inStream ? 'throttled in its stream' : 'throttled',
        retry_after_ms: outcome.retryAfterMs,
        'http.response.status_code': outcome.inStream ? 200 : 429,
      };
    case 'failed':
      return {
        outcome: outcome.cause,
        reason: outcome.code ?? outcome.cause,
        'http.response.status_code': outcome.status,
      };
    case 'unauthorized':
      return { outcome: kind, reason: `${kind} (${outcome.scope})` };
    case 'broken':
      return { outcome: kind, reason: `${kind} (${outcome.cause})` };
    case 'abandoned':
      return { outcome: kind, ...tokensOf(outcome.usage) };
    case 'missing':
    case 'unsupported':
    case 'too-long':
      return { outcome: kind, reason: kind };
    default:
      return outcome satisfies never;
  }
}

function tokensOf(usage: Usage | undefined): Loose {
  if (usage === undefined) return {};
  return {
    'gen_ai.usage.input_tokens': usage.promptTokens,
    'gen_ai.usage.output_tokens': usage.completionTokens,
    'gen_ai.usage.cache_read.input_tokens': usage.cachedTokens,
    'gen_ai.usage.reasoning.output_tokens': usage.reasoningTokens,
    tokens_estimated: usage.isEstimated,
  };
}

function idsOf({ traceId, spanId, parentId, samplePercent }: SpanIds): Omit<SpanIds, 'isSampled'> {
  return {
    traceId,
    spanId,
    ...(parentId === undefined ? {} : { parentId }),
    ...(samplePercent === undefined ? {} : { samplePercent }),
  };
}

/** Without what is not there; texts of a bounded length, numbers with a tenth at most. */
export function compact(loose: Loose): Attributes {
  const attributes: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(loose)) {
    if (value === undefined || value === '') continue;
    if (typeof value === 'number') attributes[name] = Math.round(value * 10) / 10;
    else
      attributes[name] =
        typeof value === 'string' && value.length > LONGEST_TEXT ? value.slice(0, LONGEST_TEXT) : value;
  }
  return attributes;
}
