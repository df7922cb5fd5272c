/**
 * Server-sent events as bytes: where one ends. Nothing is decoded, so that nothing can be changed on the way.
 * An event ends with a blank line; lines end with LF, CRLF or CR.
 */

/** What a caller is sent while an upstream is silent. A comment: every client ignores it. */
export const KEEP_ALIVE = Buffer.from(': keep-alive\n');

const LF = 0x0a;
const CR = 0x0d;
/** What chat and completion streams say last. Responses say `response.completed`, and their readers wait for the end. */
const DONE = Buffer.from('data: [DONE]');
const DONE_LAST_BYTE = 0x5d;

/** True for server-sent events that can be read: a compressed stream is opaque, like a body of whatever other type. */
export function isEventStream(header: (name: string) => string | undefined): boolean {
  const encoding = header('content-encoding');
  const isPlain = encoding === undefined || encoding.toLowerCase() === 'identity';
  return isPlain && /^text\/event-stream\s*(?:;|$)/i.test(header('content-type') ?? '');
}

/** Length of the part of these bytes up to and with their last complete event; 0 when there is none. */
export function completeEventsLength(bytes: Buffer): number {
  const toLf = lastBlankLine(bytes, LF, 0);
  return Math.max(toLf, lastBlankLine(bytes, CR, toLf));
}

/** Where the last blank line that ends with this byte ends; 0 when none does after `after`. */
function lastBlankLine(bytes: Buffer, lineEnd: number, after: number): number {
  let from = bytes.length - 1;
  while (from > 0) {
    const at = bytes.lastIndexOf(lineEnd, from);
    if (at < 1 || at < after) return 0;
    if (isBlankLine(bytes, at)) return at + 1;
    from = at - 1;
  }
  return 0;
}

/** True when the last of these complete events is `[DONE]`, after which nothing comes. */
export function endsWithDone(events: Buffer): boolean {
  let end = events.length;
  while (end > 0 && (events[end - 1] === LF || events[end - 1] === CR)) end -= 1;
  if (events[end - 1] !== DONE_LAST_BYTE) return false;
  const start = end - DONE.length;
  if (start > 0 && events[start - 1] !== LF && events[start - 1] !== CR) return false; // In a line that says more.
  return events.subarray(Math.max(0, start), end).equals(DONE);
}

/** True when the line that ends with the byte at `at` is empty: the bytes before it end another. */
function isBlankLine(bytes: Buffer, at: number): boolean {
  const before = bytes[at - 1];
  if (bytes[at] === LF) return before === LF || (before === CR && (bytes[at - 2] === LF || bytes[at - 2] === CR));
  // After LF it may be the first half of CRLF, whose other half has not come.
  return before === CR || (before === LF && at + 1 < bytes.length && bytes[at + 1] !== LF);
}
