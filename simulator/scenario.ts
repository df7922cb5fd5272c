// The ways a simulated resource can misbehave, each by a name. Tests script them as objects; the command line and the
// control API write them as text, `name:argument:argument`.

import { answerOddities, isAnswerOddity, isThrottleOddity, throttleOddities } from './limits/oddities.ts';
import type { AnswerOddity, ThrottleOddity } from './limits/oddities.ts';

export type Fault =
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly body?: string | object;
      readonly headers?: Readonly<Record<string, string>>;
      /** Content-length says more than is sent: half of the body, then the socket is destroyed. */
      readonly truncateBody?: boolean;
      /** Half of the body, then silence. */
      readonly stallBody?: boolean;
    }
  | {
      readonly kind: 'throttle';
      readonly retryAfterMs?: number;
      /** Laid over the usual headers of a 429; undefined removes one. */
      readonly headers?: Readonly<Record<string, string | undefined>>;
      readonly body?: ThrottleBody;
    }
  /** 429 whose wait is said in a way that was seen but is not documented. */
  | { readonly kind: 'odd-throttle'; readonly oddity: ThrottleOddity; readonly retryAfterMs?: number }
  /** The usual answer, its quota said in such a way. */
  | { readonly kind: 'odd-headers'; readonly oddity: AnswerOddity }
  | { readonly kind: 'throttle-in-stream'; readonly shape: ThrottleShape; readonly retryAfterMs?: number }
  /** After so many events of a stream the model fails: an error as an event, and the end. */
  | { readonly kind: 'error-mid-stream'; readonly afterChunks: number; readonly shape?: FailureShape }
  /** The socket is destroyed as soon as the request's head was read; the body is not. */
  | { readonly kind: 'refuse' }
  /** The whole request is read, then the connection is reset (RST). */
  | { readonly kind: 'reset-before-headers' }
  /** RST after so many chunks; with midEvent half of the next one still goes out. */
  | { readonly kind: 'reset-mid-stream'; readonly afterChunks: number; readonly midEvent?: boolean }
  /** An orderly end of the connection (FIN) without the terminating chunk. */
  | { readonly kind: 'truncated'; readonly afterChunks: number }
  /** Silence after so many chunks, for ms, or until the connection closes. */
  | { readonly kind: 'stall'; readonly afterChunks: number; readonly ms?: number }
  | { readonly kind: 'slow-first-byte'; readonly ms: number }
  | { readonly kind: 'slow-first-chunk'; readonly ms: number }
  | { readonly kind: 'hang' }
  /** Between any two events of a streamed response one that says nothing but that it goes on. */
  | { readonly kind: 'keepalive' }
  /** A kept connection is reset at the first bytes of its next request, which was never read. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'missing-deployment' }
  | { readonly kind: 'operation-not-supported' }
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'permission-denied'; readonly status?: 401 | 403 }
  /** 403 to every credential: a suspended resource. */
  | { readonly kind: 'blocked' }
  | { readonly kind: 'content-filter'; readonly variant?: FilterVariant }
  | { readonly kind: 'context-too-long' }
  | { readonly kind: 'gzip' }
  | { readonly kind: 'large'; readonly bytes: number }
  | { readonly kind: 'early-answer'; readonly status: number };

export type ThrottleBody = 'tokens' | 'requests' | 'capacity';
/** How the filter answers: 400 in its first form, 400 in its newer one, or an answer that was cut short. */
export type FilterVariant = 'prompt' | 'prompt-newer' | 'answer';
export type ThrottleShape = 'error-event' | 'response-failed' | 'chat-error';
/** How a response says that it failed; chat completions and completions have one way only. */
export type FailureShape = 'error-event' | 'response-failed';

/** How often at most a fault is scripted by one command. */
export const MAX_TIMES = 1000;

/** How each fault is written as text; square brackets mark what may be left out. */
export const faultForms: Readonly<Record<Fault['kind'], string>> = {
  status: 'status:503',
  throttle: 'throttle[:milliseconds[:tokens|requests|capacity]]',
  'odd-throttle': `odd-throttle:${throttleOddities.join('|')}[:milliseconds]`,
  'odd-headers': `odd-headers:${answerOddities.join('|')}`,
  'throttle-in-stream': 'throttle-in-stream[:error-event|response-failed|chat-error[:milliseconds]]',
  'error-mid-stream': 'error-mid-stream:chunks[:error-event|response-failed]',
  refuse: 'refuse',
  'reset-before-headers': 'reset-before-headers',
  'reset-mid-stream': 'reset-mid-stream:chunks[:mid-event]',
  truncated: 'truncated:chunks',
  stall: 'stall:chunks[:milliseconds]',
  'slow-first-byte': 'slow-first-byte:milliseconds',
  'slow-first-chunk': 'slow-first-chunk:milliseconds',
  hang: 'hang',
  keepalive: 'keepalive',
  stale: 'stale',
  'missing-deployment': 'missing-deployment',
  'operation-not-supported': 'operation-not-supported',
  unauthorized: 'unauthorized',
  'permission-denied': 'permission-denied[:403]',
  blocked: 'blocked',
  'content-filter': 'content-filter[:prompt|prompt-newer|answer]',
  'context-too-long': 'context-too-long',
  gzip: 'gzip',
  large: 'large:bytes',
  'early-answer': 'early-answer:413',
};

/** Reads a fault written as text; undefined when there is no such fault or an argument is missing, odd or too many. */
export function parseFault(text: string): Fault | undefined {
  const [kind = '', ...rest] = text.split(':');
  if (!isFaultKind(kind) || rest.length > 2) {
    return undefined;
  }
  const [first, second] = rest;
  switch (kind) {
    case 'refuse':
    case 'reset-before-headers':
    case 'hang':
    case 'keepalive':
    case 'stale':
    case 'missing-deployment':
    case 'operation-not-supported':
    case 'unauthorized':
    case 'blocked':
    case 'context-too-long':
    case 'gzip':
      return first === undefined ? { kind } : undefined;
    case 'status':
    case 'early-answer':
      return withNumber(first, second, (status) => (status >= 200 && status <= 599 ? { kind, status } : undefined));
    case 'slow-first-byte':
    case 'slow-first-chunk':
      return withNumber(first, second, (ms) => ({ kind, ms }));
    case 'truncated':
      return withNumber(first, second, (afterChunks) => ({ kind, afterChunks }));
    case 'large':
      return withNumber(first, second, (bytes) => ({ kind, bytes }));
    case 'permission-denied':
      return parsePermissionDenied(first, second);
    case 'content-filter':
      return parseContentFilter(first, second);
    case 'odd-headers':
      return first !== undefined && isAnswerOddity(first) && second === undefined ? { kind, oddity: first } : undefined;
    case 'odd-throttle':
      return parseOddThrottle(first, second);
    case 'throttle':
      return parseThrottle(first, second);
    case 'throttle-in-stream':
      return parseThrottleInStream(first, second);
    case 'error-mid-stream':
      return parseErrorMidStream(first, second);
    case 'stall':
      return parseStall(first, second);
    case 'reset-mid-stream':
      return parseResetMidStream(first, second);
    default:
      return kind satisfies never;
  }
}

function isFaultKind(kind: string): kind is Fault['kind'] {
  return Object.hasOwn(faultForms, kind);
}

function withNumber(
  first: string | undefined,
  second: string | undefined,
  make: (value: number) => Fault | undefined,
): Fault | undefined {
  const value = wholeNumber(first);
  return value === undefined || second !== undefined ? undefined : make(value);
}

function parseThrottle(first: string | undefined, second: string | undefined): Fault | undefined {
  if (first === undefined) {
    return { kind: 'throttle' };
  }
  const retryAfterMs = wholeNumber(first);
  if (retryAfterMs === undefined) {
    return undefined;
  }
  switch (second) {
    case undefined:
      return { kind: 'throttle', retryAfterMs };
    case 'tokens':
    case 'requests':
    case 'capacity':
      return { kind: 'throttle', retryAfterMs, body: second };
    default:
      return undefined;
  }
}

function parseOddThrottle(first: string | undefined, second: string | undefined): Fault | undefined {
  const retryAfterMs = wholeNumber(second);
  if (first === undefined || !isThrottleOddity(first) || (second !== undefined && retryAfterMs === undefined)) {
    return undefined;
  }
  const kind = 'odd-throttle';
  return retryAfterMs === undefined ? { kind, oddity: first } : { kind, oddity: first, retryAfterMs };
}

function parseThrottleInStream(first: string | undefined, second: string | undefined): Fault | undefined {
  const shape = first ?? 'error-event';
  const retryAfterMs = wholeNumber(second);
  const isShape = shape === 'error-event' || shape === 'response-failed' || shape === 'chat-error';
  if (!isShape || (second !== undefined && retryAfterMs === undefined)) {
    return undefined;
  }
  const kind = 'throttle-in-stream';
  return retryAfterMs === undefined ? { kind, shape } : { kind, shape, retryAfterMs };
}

function parseErrorMidStream(first: string | undefined, second: string | undefined): Fault | undefined {
  const afterChunks = wholeNumber(first);
  if (afterChunks === undefined || (second !== undefined && second !== 'error-event' && second !== 'response-failed')) {
    return undefined;
  }
  const kind = 'error-mid-stream';
  return second === undefined ? { kind, afterChunks } : { kind, afterChunks, shape: second };
}

function parsePermissionDenied(first: string | undefined, second: string | undefined): Fault | undefined {
  const kind = 'permission-denied';
  if (first === undefined) {
    return { kind };
  }
  return first === '403' && second === undefined ? { kind, status: 403 } : undefined;
}

function parseContentFilter(first: string | undefined, second: string | undefined): Fault | undefined {
  const kind = 'content-filter';
  if (first === undefined) {
    return { kind };
  }
  const isVariant = first === 'prompt' || first === 'prompt-newer' || first === 'answer';
  return isVariant && second === undefined ? { kind, variant: first } : undefined;
}

function parseStall(first: string | undefined, second: string | undefined): Fault | undefined {
  const afterChunks = wholeNumber(first);
  const ms = wholeNumber(second);
  if (afterChunks === undefined || (second !== undefined && ms === undefined)) {
    return undefined;
  }
  return ms === undefined ? { kind: 'stall', afterChunks } : { kind: 'stall', afterChunks, ms };
}

function parseResetMidStream(first: string | undefined, second: string | undefined): Fault | undefined {
  const afterChunks = wholeNumber(first);
  if (afterChunks === undefined || (second !== undefined && second !== 'mid-event')) {
    return undefined;
  }
  const kind = 'reset-mid-stream';
  return second === undefined ? { kind, afterChunks } : { kind, afterChunks, midEvent: true };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
