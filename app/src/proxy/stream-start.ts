/**
 * The beginning of an event stream: does it give the answer, or the refusal that another backend need not repeat? Azure
 * answers 200 before it knows whether there is quota, and says so in an event. Pure: bytes in, a verdict out.
 *
 *   lifecycle events, keepalives, chunks that name a role or nothing → more is needed
 *   an event that tells of a throttle, an overload or a failure → that outcome
 *   everything else, events unknown here among them      → content: the answer is this one
 */
import type { Outcome } from '../balancer/outcome.ts';
import { completeEventsLength } from './sse.ts';

export type StreamVerdict = 'more' | 'content' | 'throttled' | 'overloaded' | 'failed';

/** Responses say these before the model has begun; a keepalive between them says only that it goes on. */
const LIFECYCLE: ReadonlySet<unknown> = new Set([
  'response.created',
  'response.queued',
  'response.in_progress',
  'keepalive',
]);
/** Codes and types, in small letters and digits alone: they come as `rate_limit_exceeded` and as `RateLimitReached`. */
const THROTTLED: ReadonlySet<string> = new Set([
  '429',
  'insufficientquota',
  'quotaexceeded',
  'ratelimiterror',
  'ratelimitexceeded',
  'ratelimitreached',
  'toomanyrequests',
]);
const OVERLOADED: ReadonlySet<string> = new Set([
  '408',
  '502',
  '503',
  '504',
  'engineoverloaded',
  'overloaded',
  'serviceunavailable',
  'timeout',
]);
/** These may be the request's own fault, as a 500 may. */
const FAILED: ReadonlySet<string> = new Set(['500', 'internalerror', 'internalservererror', 'servererror']);

const BLANK_LINE_REACH = 3;
const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);

/** Reads the events of one stream as they come, until there is a verdict. */
export class StreamStart {
  private pieces: Buffer[] = [];
  /** The last bytes of them: a blank line may be cut in two. */
  private lastBytes: Buffer = NOTHING;
  /** Events were there. */
  private hasBegun = false;

  /** What these bytes, after all that came before, say. Not to be asked again after another verdict than `more`. */
  take(chunk: Buffer): StreamVerdict {
    if (!chunk.includes(LF) && !chunk.includes(CR) && this.lastBytes.at(-1) !== CR) {
      // No line ends here, nor is it now known that one did, so no event does: most of the pieces of an event that comes
      // in thousands.
      this.pieces.push(chunk);
      this.lastBytes = NOTHING;
      return 'more';
    }
    const known = this.lastBytes.length === 0 ? chunk : Buffer.concat([this.lastBytes, chunk]);
    const hasEnd = completeEventsLength(known) > 0;
    this.lastBytes = Buffer.from(known.subarray(-BLANK_LINE_REACH));
    this.pieces.push(chunk);
    if (!hasEnd) return 'more';
    const bytes = Buffer.concat(this.pieces);
    const complete = completeEventsLength(bytes);
    this.pieces = [bytes.subarray(complete)];
    const text = bytes.toString('utf8', 0, complete);
    // A stream may begin with a byte order mark.
    const events = eventsIn(this.hasBegun ? text : text.replace(/^\uFEFF/, ''));
    this.hasBegun = true;
    for (const { name, data } of events) {
      const verdict = verdictOn(name, data);
      if (verdict !== 'more') return verdict;
    }
    return 'more';
  }
}

/** The outcome of an attempt whose stream began so. `retryAfterMs`: from the headers of the answer. */
export function outcomeOf(verdict: Exclude<StreamVerdict, 'more' | 'content'>, retryAfterMs?: number): Outcome {
  if (verdict === 'failed') return { kind: 'failed', status: 500, cause: 'status' };
  if (verdict === 'overloaded') return { kind: 'failed', cause: 'in-stream' };
  return { kind: 'throttled', inStream: true, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

interface StreamEvent {
  readonly name: string;
  readonly data: string;
}

/** Events that carry something; comments and fields of no interest are left out. */
function eventsIn(text: string): readonly StreamEvent[] {
  const events: StreamEvent[] = [];
  let name = '';
  let data: string[] = [];
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === '') {
      if (data.length > 0) events.push({ name, data: data.join('\n') });
      name = '';
      data = [];
    } else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    else if (line.startsWith('event:')) name = line.slice(6).trim();
  }
  return events;
}

function verdictOn(name: string, data: string): StreamVerdict {
  const value = parsed(data);
  if (value === undefined) return 'content';
  const { type, error, response, choices } = value;
  if (LIFECYCLE.has(type)) return 'more';
  if (type === 'response.failed') {
    const inner = isRecord(response) ? response['error'] : undefined;
    // Some say the reason in the event after this one.
    return isRecord(inner) ? verdictOnError(inner) : 'more';
  }
  if (isRecord(error)) return verdictOnError(error);
  if (typeof error === 'string') return verdictOnError(value);
  // The error's own members, without one around them.
  if (type === 'error' || name === 'error') return verdictOnError(value);
  if (Array.isArray(choices)) return choices.every((choice) => isSilent(choice)) ? 'more' : 'content';
  return 'content';
}

/** A refusal of the request itself (content filter, invalid prompt) is its answer. */
function verdictOnError(error: Record<string, unknown>): StreamVerdict {
  const said = ['code', 'type', 'status', 'statusCode'].map((member) => wordOf(error[member]));
  if (said.some((word) => THROTTLED.has(word))) return 'throttled';
  if (said.some((word) => OVERLOADED.has(word))) return 'overloaded';
  return said.some((word) => FAILED.has(word)) ? 'failed' : 'content';
}

function wordOf(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return '';
  return String(value)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '');
}

/** A choice that has not begun to say anything: a role at most. */
function isSilent(choice: unknown): boolean {
  if (!isRecord(choice)) return false;
  const { delta, text, finish_reason: end } = choice;
  if ((end ?? undefined) !== undefined) return false;
  if (delta === undefined) return text === '';
  return isRecord(delta) && Object.entries(delta).every(([key, value]) => key === 'role' || isNothing(value));
}

function isNothing(value: unknown): boolean {
  return value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

function parsed(data: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
