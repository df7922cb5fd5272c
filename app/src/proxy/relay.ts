/**
 * Gives a committed answer to the caller: whole when it was read whole, else as a stream with back-pressure.
 * Of an event stream only complete events go out, so that a cut upstream leaves no half event behind, and keep-alives
 * and the in-band error always stand between two events. The bytes are the backend's own, less a chunk that only we asked for.
 */
import type { ServerResponse } from 'node:http';
import type { Outcome } from '../balancer/outcome.ts';
import type { AnswerBody } from './forward.ts';
import { callerHeaders } from './headers.ts';
import { breakOff } from './in-band.ts';
import { errorEvent, type ErrorCode } from './proxy-error.ts';
import { completeEventsLength, endsWithDone, isEventStream, KEEP_ALIVE } from './sse.ts';
import { withoutUsageChunk } from './usage-chunk.ts';
import type { UsageTap } from './usage-tap.ts';

/** What is given: an upstream answer, or one that was kept. `body` is absent when `held` is all of it. */
export interface Relayed {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly header: (name: string) => string | undefined;
  readonly held: readonly Buffer[];
  readonly body?: AnswerBody;
  /** Sees all that goes out, and what is kept from the caller. */
  readonly tap?: UsageTap;
  /** The chunk of a stream that tells its usage is not for the caller, who did not ask. */
  readonly hidesUsage?: boolean;
  /** Status and headers went out already. */
  readonly isBegun?: boolean;
}

export interface RelayLimits {
  /** An upstream, or a caller who takes nothing, may be silent this long. */
  readonly idleMs: number;
  readonly keepAliveMs: number;
}

/** Thrown into the stream from outside, with the error that the caller is told in-band. */
export class StreamEnd extends Error {
  override readonly name = 'StreamEnd';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** An event that is longer than this goes out in parts. */
const LONGEST_HELD_EVENT = 65_536;
/** A blank line's end is told by the byte before it, or the two before with CRLF. */
const BLANK_LINE_REACH = 3;
const NOTHING = Buffer.alloc(0);

/** Clock ms; coarse is enough. */
type Now = () => number;

/**
 * @param own headers that say what the balancer did, as name, value, name, value, …
 * @param signal aborted when the caller left, or with a StreamEnd
 */
export function relay(
  relayed: Relayed,
  own: readonly string[],
  res: ServerResponse,
  limits: RelayLimits,
  signal: AbortSignal,
  now: Now,
): Promise<Outcome> {
  const headers = callerHeaders(relayed.rawHeaders, own);
  if (relayed.body === undefined) return relayWhole(relayed, headers, res, signal);
  const { status, header, held, body, tap, hidesUsage = false, isBegun = false } = relayed;
  const isEvents = isEventStream(header);
  const length = header('content-length');
  // Keep-alives and an in-band error would be beyond it.
  if (length !== undefined && !isEvents) headers.push('content-length', length);
  if (!isBegun) res.writeHead(status, headers);
  return new Promise((resolve) => {
    const hides = hidesUsage && isEvents;
    new RelayedStream({ status, body, tap, hidesUsage: hides, isEvents, res, limits, signal, now, resolve }).start(
      isBegun ? withoutMark(held) : held,
    );
  });
}

/** One write for headers and body. */
function relayWhole(relayed: Relayed, headers: string[], res: ServerResponse, signal: AbortSignal): Promise<Outcome> {
  const { status, held } = relayed;
  const [only] = held;
  const whole = held.length === 1 && only !== undefined ? only : Buffer.concat(held);
  const isHiding = relayed.hidesUsage === true && isEventStream(relayed.header);
  const bytes = isHiding ? withoutUsageChunk(whole) : whole;
  const length = bytes.length > 0 || hasBody(res, status) ? String(bytes.length) : relayed.header('content-length');
  if (length !== undefined && status !== 204) headers.push('content-length', length);
  relayed.tap?.take(whole, true);
  if (signal.aborted) return Promise.resolve({ kind: 'abandoned' });
  if (relayed.isBegun !== true) res.writeHead(status, headers);
  res.end(bytes);
  return Promise.resolve({ kind: status < 400 ? 'served' : 'refused', status });
}

/** A byte order mark belongs to the beginning of a stream, and keep-alives went before. */
function withoutMark(held: readonly Buffer[]): readonly Buffer[] {
  const [first, ...rest] = held;
  return first?.subarray(0, 3).equals(MARK) === true ? [first.subarray(3), ...rest] : held;
}

const MARK = Buffer.from('\uFEFF');

/** HEAD and 304 may say the length of a body that they do not carry. */
function hasBody(res: ServerResponse, status: number): boolean {
  return res.req.method !== 'HEAD' && status !== 204 && status !== 304;
}

/** Bytes that wait, in one buffer that grows by doubling: however small the pieces, each is copied a few times at most. */
class Tail {
  private bytes: Buffer = NOTHING;
  length = 0;

  add(piece: Buffer): void {
    const length = this.length + piece.length;
    if (this.length === 0) this.bytes = piece;
    else {
      if (length > this.bytes.length) this.bytes = Buffer.concat([this.bytes.subarray(0, this.length)], length * 2);
      piece.copy(this.bytes, this.length);
    }
    this.length = length;
  }

  /** All of it and this, and nothing waits any more. */
  takeWith(piece: Buffer): Buffer {
    const all = this.length === 0 ? piece : Buffer.concat([this.bytes.subarray(0, this.length), piece]);
    this.bytes = NOTHING;
    this.length = 0;
    return all;
  }
}

interface StreamParts {
  readonly status: number;
  readonly body: AnswerBody;
  readonly tap: UsageTap | undefined;
  readonly hidesUsage: boolean;
  readonly isEvents: boolean;
  readonly res: ServerResponse;
  readonly limits: RelayLimits;
  readonly signal: AbortSignal;
  readonly now: Now;
  readonly resolve: (outcome: Outcome) => void;
}

/** One body on its way. A class, because there may be thousands: methods are shared, closures are not. */
class RelayedStream {
  private readonly parts: StreamParts;
  /** The beginning of an event whose end has not come yet. */
  private readonly tail = new Tail();
  /** What went out ends with a complete event. */
  private isAtBoundary = true;
  /** The last bytes of an event whose end has not come: its blank line may be cut in two. */
  private lastBytes = NOTHING;
  /** The caller has the last event; only the end of the body is missing. */
  private isDone = false;
  private isPaused = false;
  private isFinished = false;
  private movedAt: number;
  private wroteAt: number;
  private readonly timer: NodeJS.Timeout;

  constructor(parts: StreamParts) {
    this.parts = parts;
    this.movedAt = parts.now();
    this.wroteAt = this.movedAt;
    const { limits, isEvents } = parts;
    this.timer = setInterval(this.onTick, isEvents ? Math.min(limits.keepAliveMs, limits.idleMs) : limits.idleMs);
  }

  start(held: readonly Buffer[]): void {
    const { body, res, signal } = this.parts;
    body.on('data', this.onData).on('end', this.onEnd).on('close', this.onClose);
    res.on('drain', this.onDrain);
    signal.addEventListener('abort', this.onAbort);
    if (signal.aborted) return this.onAbort();
    if (held.length === 0 && !res.headersSent) res.flushHeaders();
    for (const chunk of held) this.onData(chunk);
    // It ended, or broke, with the first piece, before anybody here could hear of it.
    if (body.readableEnded) return this.onEnd();
    if (body.destroyed) return this.onClose();
    // Reading ahead paused it; a caller who is slow already keeps it so.
    if (!this.isPaused) body.resume();
  }

  private readonly onData = (chunk: Buffer): void => {
    this.movedAt = this.parts.now();
    if (this.parts.isEvents) return this.writeEvents(chunk);
    this.parts.tap?.take(chunk, true);
    this.write(chunk);
  };

  /** Writes up to the last complete event; the rest waits, unless it is too long. No byte is looked at twice. */
  private writeEvents(chunk: Buffer): void {
    const before = this.lastBytes.length;
    const known = before === 0 ? chunk : Buffer.concat([this.lastBytes, chunk]);
    const boundary = completeEventsLength(known);
    const hasBoundary = boundary > 0 && boundary >= before;
    const isTooLong = this.tail.length + chunk.length > LONGEST_HELD_EVENT;
    const ready = hasBoundary ? boundary - before : isTooLong ? chunk.length : undefined;
    if (ready === undefined) {
      this.tail.add(chunk);
      this.lastBytes = Buffer.from(known.subarray(-BLANK_LINE_REACH));
      return;
    }
    const events = this.tail.takeWith(ready === chunk.length ? chunk : chunk.subarray(0, ready));
    const rest = chunk.subarray(ready);
    if (rest.length > 0) this.tail.add(rest);
    const seen = hasBoundary ? rest : known;
    this.lastBytes = seen.length === 0 ? NOTHING : Buffer.from(seen.subarray(-BLANK_LINE_REACH));
    const wasAtBoundary = this.isAtBoundary;
    this.isAtBoundary = hasBoundary;
    this.isDone = hasBoundary && endsWithDone(events);
    this.write(this.forCaller(events, wasAtBoundary));
  }

  /** What the tap has seen, less what the caller did not ask for. */
  private forCaller(events: Buffer, isWhole: boolean): Buffer {
    const { tap, hidesUsage } = this.parts;
    const isTelling = tap?.take(events, this.isAtBoundary) ?? true;
    return hidesUsage && isTelling ? withoutUsageChunk(events, isWhole) : events;
  }

  private write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.wroteAt = this.movedAt;
    if (this.parts.res.write(bytes)) return;
    this.isPaused = true;
    this.parts.body.pause();
  }

  private readonly onDrain = (): void => {
    this.isPaused = false;
    this.movedAt = this.parts.now();
    this.parts.body.resume();
  };

  private readonly onEnd = (): void => {
    const { res } = this.parts;
    // The last event of some backends lacks its blank line.
    const rest = this.tail.takeWith(NOTHING);
    if (rest.length === 0) res.end();
    else {
      const wasAtBoundary = this.isAtBoundary;
      this.isAtBoundary = true;
      res.end(this.forCaller(rest, wasAtBoundary));
    }
    this.finish(this.whole());
  };

  /** `close` without `end`: the upstream broke. */
  private readonly onClose = (): void => {
    this.breakOff('stream_broken', 'The backend broke off in the middle of its answer. Send the request again.');
    this.finish({ kind: 'broken', cause: 'reset' });
  };

  private readonly onAbort = (): void => {
    const reason: unknown = this.parts.signal.reason;
    if (reason instanceof StreamEnd) this.breakOff(reason.code, reason.message);
    // The openai package for Python closes its connection at `[DONE]`, whether or not the body's end has come.
    this.finish(this.isDone ? this.whole() : { kind: 'abandoned' });
    this.parts.body.destroy();
  };

  private readonly onTick = (): void => {
    const { isEvents, limits, now, res } = this.parts;
    const at = now();
    // The timer may fire a little early by this clock.
    if (this.isIdle(at)) return void setImmediate(this.onLate);
    if (isEvents && !this.isPaused && this.isAtBoundary && at - this.wroteAt >= limits.keepAliveMs - 5) {
      this.wroteAt = at;
      res.write(KEEP_ALIVE);
    }
  };

  private isIdle(at: number): boolean {
    return at - this.movedAt >= this.parts.limits.idleMs - 5;
  }

  /** After what has come while this process stood still was read: see deadline.ts. */
  private readonly onLate = (): void => {
    if (!this.isFinished && this.isIdle(this.parts.now())) this.onIdle();
  };

  private onIdle(): void {
    if (this.isPaused) {
      // It is the caller who takes nothing; there is no use in telling it.
      this.finish({ kind: 'abandoned' });
      this.parts.res.destroy();
    } else {
      this.breakOff('stream_idle', 'The backend fell silent in the middle of its answer. Send the request again.');
      this.finish({ kind: 'broken', cause: 'idle' });
    }
    this.parts.body.destroy();
  }

  private breakOff(code: ErrorCode, message: string): void {
    const { isEvents, res } = this.parts;
    const event = `${this.isAtBoundary ? '' : '\n\n'}${errorEvent({ code, message })}`;
    breakOff(res, isEvents ? event : undefined);
  }

  private whole(): Outcome {
    const { status } = this.parts;
    return { kind: status < 400 ? 'served' : 'refused', status };
  }

  private finish(outcome: Outcome): void {
    const { body, res, signal, resolve } = this.parts;
    this.isFinished = true;
    clearInterval(this.timer);
    body.off('data', this.onData).off('end', this.onEnd).off('close', this.onClose);
    res.off('drain', this.onDrain);
    signal.removeEventListener('abort', this.onAbort);
    resolve(outcome);
  }
}
