/**
 * Reads on from the headers to the point where it is known whether this answer is to be given: for an event stream its
 * first content (stream-start.ts); for everything else the whole body, as long as it is small. What was read is held, byte for byte.
 * Until then a failure is still another backend's chance; after it there is none.
 */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { classify, needsBody, type Outcome } from '../balancer/outcome.ts';
import { parseRetryAfterMs } from '../balancer/retry-after.ts';
import { Deadline } from './deadline.ts';
import type { Answer, AnswerBody, Failed } from './forward.ts';
import { isEventStream } from './sse.ts';
import { outcomeOf, StreamStart, type StreamVerdict } from './stream-start.ts';

/** `isWhole`: `held` is the complete body. */
export interface Peeked {
  readonly kind: 'commit';
  readonly held: readonly Buffer[];
  readonly isWhole: boolean;
}

/** A failed attempt that came with an answer, kept in case nobody does better. `bytes`: its complete body. */
export interface KeptAnswer {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly bytes: Buffer;
}

export interface PeekFailed extends Failed {
  readonly kept?: KeptAnswer;
}

export interface PeekLimits {
  /** Held at most, per answer. */
  readonly holdBytes: number;
  /** An error's body may take this long: it is awaited for its code only. */
  readonly errorBodyMs: number;
  /** A body may be silent this long. */
  readonly idleMs: number;
  /** Aborted when a stream has taken too long to its first content; absent: it may, but for `idleMs` of silence. */
  readonly late?: AbortSignal;
  /** A prompt that is too long is another backend's chance. */
  readonly spillsLongPrompts: boolean;
}

/** Settles for whatever the backend does; never touches the caller's response. */
export async function peek(
  answer: Answer,
  limits: PeekLimits,
  signal: AbortSignal,
  wallClockMs: () => number,
): Promise<Peeked | PeekFailed> {
  if (needsBody(answer.status)) return peekError(answer, limits, signal, wallClockMs);
  const isStream = isEventStream(answer.header);
  const start = new StreamStart();
  const seen: { verdict: StreamVerdict } = { verdict: 'more' };
  const read = await readAhead(answer.body, signal, {
    ...(isStream ? { isEnough: (chunk) => (seen.verdict = start.take(chunk)) !== 'more' } : {}),
    holdBytes: limits.holdBytes,
    ...(isStream && limits.late !== undefined ? { late: limits.late } : {}),
    totalMs: Number.POSITIVE_INFINITY,
    idleMs: limits.idleMs,
  });
  // The last event of some lacks its blank line.
  const isCutShort = isStream && read.ended === 'whole' && seen.verdict === 'more';
  const verdict = isCutShort ? start.take(BLANK_LINE) : seen.verdict;
  if (verdict !== 'more' && verdict !== 'content') {
    discard(answer.body, limits.errorBodyMs);
    return { kind: 'failed', outcome: outcomeOf(verdict, namedWaitMs(answer, wallClockMs())) };
  }
  if (read.ended === 'whole' || read.ended === 'held') {
    return { kind: 'commit', held: read.held, isWhole: read.ended === 'whole' };
  }
  answer.body.destroy();
  const isLate = isStream && read.ended === 'silent';
  return { kind: 'failed', outcome: isLate ? { kind: 'failed', cause: 'first-token-timeout' } : lost(read.ended) };
}

const BLANK_LINE = Buffer.from('\n\n');

/** A wait that the answer names. What a 200 says of the quota's resets is not about this refusal. */
function namedWaitMs({ header }: Answer, wallClockMs: number): number | undefined {
  const isNamed = ['retry-after-ms', 'retry-after'].some((name) => header(name) !== undefined);
  return isNamed ? parseRetryAfterMs(header, wallClockMs) : undefined;
}

/** An error is classified by its code, and delivered, if at all, only when it arrived whole. */
async function peekError(
  answer: Answer,
  limits: PeekLimits,
  signal: AbortSignal,
  wallClockMs: () => number,
): Promise<Peeked | PeekFailed> {
  const { status, header, rawHeaders } = answer;
  if (status === 429) {
    // Its headers say it all, and the next backend should hear of it at once.
    discard(answer.body, limits.errorBodyMs);
    return { kind: 'failed', outcome: classify({ status, header, bodyText: () => '' }, wallClockMs()) };
  }
  const read = await readAhead(answer.body, signal, {
    holdBytes: limits.holdBytes,
    totalMs: limits.errorBodyMs,
    idleMs: Number.POSITIVE_INFINITY,
  });
  if (read.ended === 'aborted') {
    answer.body.destroy();
    return { kind: 'failed', outcome: { kind: 'abandoned' } };
  }
  const isWhole = read.ended === 'whole';
  const bytes = Buffer.concat(read.held);
  const outcome = classify(
    { status, header, bodyText: () => (isWhole ? textOf(bytes, header) : '') },
    wallClockMs(),
    limits.spillsLongPrompts,
  );
  if (outcome.kind === 'refused' && (isWhole || read.ended === 'held')) {
    return { kind: 'commit', held: read.held, isWhole };
  }
  if (!isWhole) answer.body.destroy();
  // A refusal that was cut says nothing: the backend broke while it spoke.
  if (outcome.kind === 'refused') return { kind: 'failed', outcome: lost(read.ended) };
  return isWhole ? { kind: 'failed', outcome, kept: { status, rawHeaders, bytes } } : { kind: 'failed', outcome };
}

/** Some compress whatever was asked for; the caller gets the bytes as they are, but what they say counts. */
export function textOf(bytes: Buffer, header: Answer['header']): string {
  const decode = DECODERS.get(header('content-encoding')?.toLowerCase() ?? '');
  if (decode === undefined) return bytes.toString('utf8');
  try {
    return decode(bytes, { maxOutputLength: LONGEST_ERROR }).toString('utf8');
  } catch {
    return ''; // Not what it was said to be, or far too long for an error.
  }
}

const LONGEST_ERROR = 65_536;
const DECODERS: ReadonlyMap<string, (bytes: Buffer, options: { readonly maxOutputLength: number }) => Buffer> = new Map(
  [
    ['gzip', gunzipSync],
    ['deflate', inflateSync],
    ['br', brotliDecompressSync],
  ],
);

/** Reads a body to its end, so that its connection can be used again; one that takes too long loses it. */
function discard(body: AnswerBody, withinMs: number): void {
  const timer = setTimeout(() => body.destroy(), withinMs);
  body.on('close', () => clearTimeout(timer)).resume();
}

function lost(ended: Ended): Outcome {
  if (ended === 'aborted') return { kind: 'abandoned' };
  return { kind: 'failed', cause: ended === 'silent' ? 'header-timeout' : 'reset' };
}

/** whole: it ended as it should. held: enough was read, more is to come. */
type Ended = 'whole' | 'held' | 'cut' | 'silent' | 'aborted';

interface ReadAhead {
  /** True when this piece is the last that is needed. */
  readonly isEnough?: (chunk: Buffer) => boolean;
  readonly holdBytes: number;
  readonly totalMs: number;
  readonly idleMs: number;
  /** Too late from when it is aborted. */
  readonly late?: AbortSignal;
}

/** Reads up to the point that `plan` names, and leaves the body paused. */
function readAhead(
  body: AnswerBody,
  signal: AbortSignal,
  plan: ReadAhead,
): Promise<{ readonly held: readonly Buffer[]; readonly ended: Ended }> {
  return new Promise((resolve) => {
    const held: Buffer[] = [];
    let size = 0;
    // Most answers come in one piece with the headers: then there is nothing to wait for.
    const total = timerFor(plan.totalMs);
    const idle = timerFor(plan.idleMs);

    function timerFor(ms: number): Deadline | undefined {
      return body.complete || ms === Number.POSITIVE_INFINITY ? undefined : new Deadline(ms, () => finish('silent'));
    }

    function onData(chunk: Buffer): void {
      held.push(chunk);
      size += chunk.length;
      if (plan.isEnough?.(chunk) === true || size > plan.holdBytes) return finish('held');
      idle?.renew();
    }

    function onEnd(): void {
      finish('whole');
    }

    function onClose(): void {
      finish('cut');
    }

    function onAbort(): void {
      finish('aborted');
    }

    function onLate(): void {
      finish('silent');
    }

    function finish(ended: Ended): void {
      total?.cancel();
      idle?.cancel();
      signal.removeEventListener('abort', onAbort);
      plan.late?.removeEventListener('abort', onLate);
      body.off('data', onData).off('end', onEnd).off('close', onClose);
      if (ended === 'held' || ended === 'silent') body.pause();
      resolve({ held, ended });
    }

    // `close` without `end` is a cut, whether or not an `error` comes with it.
    body.on('data', onData).on('end', onEnd).on('close', onClose);
    signal.addEventListener('abort', onAbort);
    plan.late?.addEventListener('abort', onLate);
    if (signal.aborted) onAbort();
  });
}
