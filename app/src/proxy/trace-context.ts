/**
 * W3C Trace Context: which trace a request belongs to, as its caller says or as it begins here, and what the backends
 * are told of it. Strict: of a `traceparent` that is not right nothing is believed, and its `tracestate` goes with it.
 */
import { randomFillSync } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { SpanIds } from '../telemetry/events.ts';

/** The trace that one request belongs to. */
export interface Trace {
  /** The request's own. */
  readonly span: SpanIds;
  /** Handed on as it came. */
  readonly tracestate?: string;
}

export interface Tracing {
  /** The trace that a request belongs to: its caller's, or a new one. */
  begin(headers: IncomingHttpHeaders): Trace;
  /** For an attempt. */
  child(trace: Trace): SpanIds;
}

interface Parent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

export interface TracingParts {
  /** Of the traces that begin here; who calls with a trace has decided already. Absent: about five a second. */
  readonly samplePercent?: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Monotonic ms. */
  readonly clock: () => number;
}

export function createTracing({ samplePercent: fixed, random, clock }: TracingParts): Tracing {
  const newId = createIds();
  const percentNow = fixed === undefined ? createPace(clock) : () => fixed;
  return {
    begin({ traceparent, tracestate }) {
      const parent = parseTraceparent(traceparent);
      if (parent === undefined) {
        const samplePercent = percentNow();
        const isSampled = random() * 100 < samplePercent;
        return { span: { traceId: newId(16), spanId: newId(8), isSampled, samplePercent } };
      }
      const { traceId, isSampled } = parent;
      const span = { traceId, spanId: newId(8), parentId: parent.spanId, isSampled };
      const state = Array.isArray(tracestate) ? tracestate.join(',') : tracestate;
      return state !== undefined && isTracestate(state) ? { span, tracestate: state } : { span };
    },
    // What is not sampled needs no ids of its own: nobody looks for them.
    child: ({ span }) => (span.isSampled ? { ...span, spanId: newId(8), parentId: span.spanId } : span),
  };
}

/** The headers of an attempt tell its backend of the attempt's own span, and of no other. */
export function tellTrace(headers: Record<string, string>, { tracestate }: Trace, span: SpanIds): void {
  headers['traceparent'] = `00-${span.traceId}-${span.spanId}-${span.isSampled ? '01' : '00'}`;
  if (tracestate === undefined) delete headers['tracestate'];
  else headers['tracestate'] = tracestate;
}

const TRACES_A_SECOND = 5;
const SECOND_MS = 1000;

/** The percentage that makes about five traces a second of what comes: of the last second, or of this one if it is busier. */
function createPace(clock: () => number): () => number {
  let secondEndsAt = clock() + SECOND_MS;
  let count = 0;
  let before = 0;
  return () => {
    const now = clock();
    if (now >= secondEndsAt) {
      before = now < secondEndsAt + SECOND_MS ? count : 0;
      count = 0;
      secondEndsAt = now + SECOND_MS;
    }
    count += 1;
    return (100 * TRACES_A_SECOND) / Math.max(TRACES_A_SECOND, before, count);
  };
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/** undefined for what is no traceparent. A version that is not known yet is read as far as this one goes. */
export function parseTraceparent(value: unknown): Parent | undefined {
  if (typeof value !== 'string') return undefined;
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(value) ?? [];
  if (version === '' || version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

const MOST_MEMBERS = 32;
const MEMBER =
  /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** A list of `key=value`, each key once, at most 32; empty members are allowed. */
export function isTracestate(value: string): boolean {
  const members = value
    .split(',')
    .map((member) => member.replace(/^[ \t]+/, '').trimEnd())
    .filter((member) => member !== '');
  if (members.length === 0 || members.length > MOST_MEMBERS) return false;
  const keys = new Set(members.map((member) => member.slice(0, member.indexOf('='))));
  return keys.size === members.length && members.every((member) => MEMBER.test(member));
}

/** Random bytes are got by the page: one call of the system for hundreds of ids. Never all zero. */
function createIds(): (bytes: number) => string {
  const page = Buffer.alloc(4096);
  let at = page.length;
  return (bytes) => {
    if (at + bytes > page.length) {
      randomFillSync(page);
      at = 0;
    }
    at += bytes;
    const id = page.toString('hex', at - bytes, at);
    return /[1-9a-f]/.test(id) ? id : `${id.slice(0, -1)}1`;
  };
}
