/**
 * Requests that a caller sends ahead on one connection (pipelining) are served one after another. Their answers must
 * go out in that order anyway, and an answer that waits for its turn has no connection that could be broken off.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Resolves at once but for a request sent ahead: then when the answer before it is done, or its connection is. */
export type AwaitTurn = (req: IncomingMessage, res: ServerResponse) => Promise<void> | undefined;

export function createTurns(): AwaitTurn {
  /** The last answer begun on each connection. */
  const last = new WeakMap<Socket, ServerResponse>();
  return (req, res) => {
    const before = last.get(req.socket);
    last.set(req.socket, res);
    // Node gives a response its socket when the one before it is finished.
    if (res.socket !== null || before === undefined || before.closed) return undefined;
    return new Promise((resolve) => {
      before.once('close', resolve);
    });
  };
}
