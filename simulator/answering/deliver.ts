// Writes one answer to the wire, whole or in pieces, at the pace and with the break that a scenario asks for.

import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Booked, Counted } from '../books.ts';
import type { Fault } from '../scenario.ts';
import { resetConnection } from '../sockets.ts';
import type { ErrorReply, HeaderList } from './wire.ts';

export type Answer = WholeAnswer | StreamAnswer;

interface Accounted {
  /** By the model; absent when it answered nothing. */
  readonly counted?: Counted;
  /** The same for the books, when it was asked by a request. */
  readonly booked?: Booked;
}

export interface WholeAnswer extends Accounted {
  readonly kind: 'whole';
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: string | Buffer;
  readonly cut?: Cut;
  /** Called once the answer ended, however it did. */
  readonly onEnd?: () => void;
}

/** Always a 200 of server-sent events; content-type and x-accel-buffering are added when it is written. */
export interface StreamAnswer extends Accounted {
  readonly kind: 'stream';
  readonly headers: HeaderList;
  readonly events: Iterable<string>;
  readonly onEnd?: () => void;
}

/** Where an answer breaks, and how. A piece is an event of a stream, or so many bytes of a whole body. */
export interface Cut {
  readonly afterPieces: number;
  readonly isMidPiece: boolean;
  readonly pieceBytes: number;
  readonly ending: Ending;
}

type Ending =
  | { readonly kind: 'reset' } // RST
  | { readonly kind: 'end' } // FIN
  | { readonly kind: 'silence'; readonly ms?: number };

const PIECE_BYTES = 16;

const JSON_TYPE = ['content-type', 'application/json; charset=utf-8'];
const STREAM_TYPE = ['content-type', 'text/event-stream; charset=utf-8', 'x-accel-buffering', 'no'];

export function errorAnswer({ status, body }: ErrorReply, headers: HeaderList): WholeAnswer {
  return { kind: 'whole', status, headers: [...headers, ...JSON_TYPE], body };
}

export function jsonAnswer(body: string, headers: HeaderList): WholeAnswer {
  return { kind: 'whole', status: 200, headers: [...headers, ...JSON_TYPE], body };
}

export function streamAnswer(events: Iterable<string>, headers: HeaderList): StreamAnswer {
  return { kind: 'stream', headers, events };
}

/** Half of the body goes out under the content-length of all of it. */
export function cutInHalf(body: string, ending: Ending): Cut {
  return { afterPieces: 1, isMidPiece: false, pieceBytes: Math.max(1, Math.ceil(Buffer.byteLength(body) / 2)), ending };
}

/** Writes the answer; `chunkDelayMs` is the pause between two events. */
export function deliver(
  res: ServerResponse,
  answer: Answer,
  fault: Fault | undefined,
  chunkDelayMs: number,
): Promise<void> | undefined {
  const firstDelayMs = fault?.kind === 'slow-first-chunk' ? fault.ms : 0;
  const sent = fault?.kind === 'gzip' ? gzipped(answer) : answer;
  if (sent.kind === 'stream') {
    res.writeHead(200, [...sent.headers, ...STREAM_TYPE]);
    return writePieces(res, sent.events, { cut: cutOf(fault), firstDelayMs, delayMs: chunkDelayMs });
  }
  const { status, body, headers } = sent;
  const cut = sent.cut ?? cutOf(fault);
  res.writeHead(status, [...headers, 'content-length', String(Buffer.byteLength(body))]);
  if (cut === undefined && firstDelayMs === 0) {
    res.end(body);
    return undefined;
  }
  const pieces = cut === undefined ? [body] : piecesOf(body, cut.pieceBytes);
  return writePieces(res, pieces, { cut, firstDelayMs, delayMs: 0 });
}

/** True after ms, false as soon as the response closed before. */
export function pause(res: ServerResponse, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      res.off('close', onClose);
      resolve(true);
    }, ms);
    function onClose(): void {
      clearTimeout(timer);
      resolve(false);
    }
    res.once('close', onClose);
  });
}

function cutOf(fault: Fault | undefined): Cut | undefined {
  if (fault?.kind === 'reset-mid-stream') {
    return cutAfter(fault.afterChunks, { kind: 'reset' }, fault.midEvent === true);
  }
  if (fault?.kind === 'truncated') {
    return cutAfter(fault.afterChunks, { kind: 'end' });
  }
  if (fault?.kind === 'stall') {
    const { afterChunks, ms } = fault;
    return cutAfter(afterChunks, ms === undefined ? { kind: 'silence' } : { kind: 'silence', ms });
  }
  return undefined;
}

function cutAfter(afterPieces: number, ending: Ending, isMidPiece = false): Cut {
  return { afterPieces, isMidPiece, pieceBytes: PIECE_BYTES, ending };
}

/** The whole answer at once, compressed, whatever the caller said it accepts. */
function gzipped(answer: Answer): WholeAnswer {
  const encoding = ['content-encoding', 'gzip'];
  if (answer.kind === 'whole') {
    return { ...answer, headers: [...answer.headers, ...encoding], body: gzipSync(answer.body) };
  }
  const body = gzipSync([...answer.events].join(''));
  return { kind: 'whole', status: 200, headers: [...answer.headers, ...STREAM_TYPE, ...encoding], body };
}

function* piecesOf(body: string | Buffer, pieceBytes: number): Generator<Buffer> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    yield bytes.subarray(at, at + pieceBytes);
  }
}

interface Pace {
  readonly cut: Cut | undefined;
  readonly firstDelayMs: number;
  readonly delayMs: number;
}

async function writePieces(res: ServerResponse, pieces: Iterable<string | Buffer>, pace: Pace): Promise<void> {
  const { cut } = pace;
  if (pace.firstDelayMs > 0) {
    res.flushHeaders();
    if (!(await pause(res, pace.firstDelayMs))) {
      return;
    }
  }
  let written = 0;
  for (const piece of pieces) {
    if (cut !== undefined && written === cut.afterPieces) {
      if (cut.isMidPiece) {
        await flushed(res, halfOf(piece));
      }
      if (!(await breakOff(res, cut.ending))) {
        return;
      }
    }
    if (pace.delayMs > 0 && written > 0 && !(await pause(res, pace.delayMs))) {
      return;
    }
    if (res.destroyed) {
      return;
    }
    if (cut !== undefined) {
      await flushed(res, piece);
    } else if (!res.write(piece)) {
      await drained(res);
    }
    written += 1;
  }
  // A cut beyond the last piece still comes before the end: a stream is left without its terminating chunk.
  if (cut !== undefined && written <= cut.afterPieces && !(await breakOff(res, cut.ending))) {
    return;
  }
  res.end();
}

function halfOf(piece: string | Buffer): Buffer {
  const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
  return bytes.subarray(0, Math.ceil(bytes.length / 2));
}

/** True when the answer is to go on afterwards. */
async function breakOff(res: ServerResponse, ending: Ending): Promise<boolean> {
  const { socket } = res;
  if (socket === null || res.destroyed) {
    return false;
  }
  res.flushHeaders();
  switch (ending.kind) {
    case 'reset':
      resetConnection(socket);
      return false;
    case 'end':
      socket.destroySoon();
      return false;
    case 'silence':
      return ending.ms === undefined ? false : pause(res, ending.ms);
    default:
      return ending satisfies never;
  }
}

/** Resolves when the kernel has the piece, so that a reset right after cannot overtake it; or when the response closed. */
function flushed(res: ServerResponse, piece: string | Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (res.destroyed) {
      resolve();
      return;
    }
    res.once('close', resolve);
    res.write(piece, () => {
      res.off('close', resolve);
      resolve();
    });
  });
}

function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    function onEither(): void {
      res.off('drain', onEither);
      res.off('close', onEither);
      resolve();
    }
    res.on('drain', onEither);
    res.on('close', onEither);
  });
}
