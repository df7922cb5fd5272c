/** What the log says of each event: a text that a person reads first, and fields. docs/logs.md lists them. */
import type { BreakerState } from '../balancer/circuit-breaker.ts';
import type { Usage } from '../balancer/outcome.ts';
import type { ProxyEvent, SpanIds } from './events.ts';
import { adviceOn } from './reason-words.ts';
import { describeState } from './state-words.ts';

export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Line {
  readonly level: 'info' | 'warning' | 'error';
  /** What a person reads first. */
  readonly text: string;
  readonly fields: Fields;
  /** What the text says already, for machines: they get these fields too. */
  readonly said?: Fields;
  /** Whether it is good news, for those who see colours; the level says what is bad. */
  readonly tone?: 'good' | 'mixed' | 'begun';
}

type Event<K extends ProxyEvent['kind']> = Extract<ProxyEvent, { kind: K }>;

/** Undefined for what is told elsewhere. */
export function lineOf(event: ProxyEvent): Line | undefined {
  switch (event.kind) {
    case 'attempt-started':
      return ofAttempt(event);
    case 'attempt-ended':
      return undefined; // Told by the request's own line, in its trace.
    case 'request-finished':
      return ofRequest(event);
    case 'state-changed':
      return ofState(event);
    case 'limit-changed':
      return ofLimit(event);
    case 'connection-refused':
      return {
        level: 'info',
        text: `Refused a connection: ${event.code}. ${event.message}`,
        fields: {},
        said: { code: event.code },
      };
    case 'notice':
      return { level: event.level, text: event.text, fields: {} };
    default:
      return event satisfies never;
  }
}

function ofAttempt({
  url,
  backend,
  deployment,
  attempt,
  probe,
  spilledFrom,
  requestId,
  span,
}: Event<'attempt-started'>): Line {
  return {
    level: 'info',
    tone: 'begun',
    text: `Proxying to ${url}`,
    said: { url: clipped(url), ...idsOf(span) },
    fields: {
      backend,
      deployment,
      attempt,
      ...(probe ? { probe } : {}),
      spilled_from: spilledFrom,
      request_id: requestId,
    },
  };
}

/** What it came to and how long it took come first, ids last. */
function ofRequest(event: Event<'request-finished'>): Line {
  const { method, path, status, ending } = event;
  return {
    level: ending === 'broken' || status >= 500 ? 'warning' : 'info',
    tone: ending === 'delivered' && status < 400 ? 'good' : 'mixed',
    text: `${method} ${path} ${status}${ending === 'delivered' ? '' : ` ${ending}`}`,
    said: {
      method: clipped(method),
      path: clipped(path),
      status,
      ending,
      stream: event.stream,
      ...idsOf(event.span),
    },
    fields: {
      code: event.code,
      ms: tenths(event.durationMs),
      trace: event.trace,
      reasons: event.reasons,
      client: event.client,
      backend: event.backend,
      attempts: event.attempts,
      deployment: event.deployment,
      operation: event.operation,
      held_ms: tenths(event.heldMs),
      first_content_ms: tenths(event.firstContentMs),
      spilled_from: event.spilledFrom,
      spillover: event.spillover,
      ...ofUsage(event.usage),
      client_request_id: event.clientRequestId,
      request_id: event.requestId,
    },
  };
}

/** For whoever joins the log with traces. */
function idsOf(span: SpanIds | undefined): Fields {
  return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
}

function ofUsage(usage: Usage | undefined): Fields {
  if (usage === undefined) return {};
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    cached_tokens: usage.cachedTokens,
    reasoning_tokens: usage.reasoningTokens,
    tokens_estimated: usage.isEstimated,
  };
}

function ofState({ change, now, skipped = 0 }: Event<'state-changed'>): Line {
  const { backend, deployment, to, reason } = change;
  const said = `Backend ${whoIs(backend.name, deployment)} ${describeState(to, now)}`;
  const advice = adviceOn(reason);
  return {
    level: levelOf(to),
    tone: to.kind === 'closed' ? 'good' : 'mixed',
    text: advice === undefined ? said : `${said}. ${advice}`,
    said: { rest_ms: 'until' in to ? tenths(Math.max(0, to.until - now)) : undefined },
    fields: {
      backend: backend.name,
      deployment,
      state: to.kind,
      reason,
      ...(skipped > 0 ? { skipped } : {}),
    },
  };
}

function ofLimit({ change }: Event<'limit-changed'>): Line {
  const { backend, deployment, reduction } = change;
  const who = `Backend ${whoIs(backend.name, deployment)}`;
  const fields = { backend: backend.name, deployment };
  if (reduction === undefined) {
    return { level: 'info', tone: 'good', text: `${who} has all of its tokens a minute again`, fields };
  }
  const { limit, usual } = reduction;
  const text = `${who} has ${limit} tokens a minute for a while, ${usual} as a rule: the platform has reduced them`;
  return { level: 'warning', text, fields, said: { limit_tokens: limit, usual_tokens: usual } };
}

/** A throttle is daily business; what somebody must look at stands out. */
function levelOf(state: BreakerState): Line['level'] {
  if (state.kind === 'quarantined') return state.isNew ? 'warning' : 'error';
  return state.kind === 'open' ? 'warning' : 'info';
}

function whoIs(backend: string, deployment: string | undefined): string {
  return deployment === undefined ? backend : `${backend}/${quoted(deployment)}`;
}

/** To a tenth of a millisecond. */
function tenths(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}

/** A value as it stands in a line of text: in quotes where it could be taken for more than one. */
export function quoted(value: string): string {
  const short = oneLine(value);
  return /^[\x21\x23-\x7e]+$/.test(short) ? short : JSON.stringify(short);
}

/** Control characters, in what a stranger chose, could forge a line or drive a terminal. */
export function oneLine(text: string): string {
  const short = clipped(text);
  return /^[\x20-\x7e]*$/.test(short) ? short : short.replaceAll(/[^\x20-\x7e]/g, '?');
}

/** Paths can be as long as all headers together. */
export function clipped(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text;
}

const LONGEST_TEXT = 1000;
