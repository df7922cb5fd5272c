/** An answer on its way to a caller, without sockets: what the backend gives is told, and what the caller gets is kept. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Outcome } from '../../app/src/balancer/outcome.ts';
import type { AnswerBody } from '../../app/src/proxy/forward.ts';
import { relay, type Relayed, type RelayLimits } from '../../app/src/proxy/relay.ts';

/** A body whose pieces are given with `emit`. */
export function bodyToCome(): AnswerBody {
  return Object.assign(new Readable({ read: () => undefined }), { complete: false });
}

export interface Caught {
  readonly writes: readonly Buffer[];
  readonly isPaused: boolean;
  readonly isEnded: boolean;
  drain(): void;
  readonly outcome: Promise<Outcome>;
}

const request = new IncomingMessage(new Socket());

/** @param isFull asked with each write: the caller takes no more until `drain` */
export function relayed(answer: Relayed, limits: RelayLimits, signal: AbortSignal, isFull: () => boolean): Caught {
  const writes: Buffer[] = [];
  let isPaused = false;
  let isEnded = false;
  const res = new ServerResponse(request);
  const take = (bytes: unknown): boolean => {
    if (Buffer.isBuffer(bytes)) writes.push(bytes);
    else if (typeof bytes === 'string') writes.push(Buffer.from(bytes));
    isPaused = isFull();
    return !isPaused;
  };
  Object.assign(res, {
    writeHead: () => res,
    flushHeaders: () => undefined,
    write: take,
    end: (bytes: unknown) => {
      take(bytes);
      isEnded = true;
    },
  });
  const outcome = relay(answer, [], res, limits, signal, () => 0);
  return {
    writes,
    get isPaused() {
      return isPaused;
    },
    get isEnded() {
      return isEnded;
    },
    drain() {
      isPaused = false;
      res.emit('drain');
    },
    outcome,
  };
}
