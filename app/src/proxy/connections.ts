/**
 * The callers' connections and the answers that are due on each, in order. Node's own list of idle connections leaves
 * out those that never sent a request, and forgets that one turned idle after the server was closed.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Connections {
  /** Before anybody else listens for requests. */
  track(server: Server): void;
  /** An answer has begun and not ended: nothing else may be written there. */
  isAnswering(connection: Duplex): boolean;
  /**
   * Requests that a caller sends ahead on one connection (pipelining) are served one after another: their answers must
   * go out in that order anyway, and an answer that waits for its turn has no connection that could be broken off.
   * Undefined when it is this request's turn, else resolves when the answer before it, or the connection, is done.
   */
  readonly awaitTurn: (req: IncomingMessage, res: ServerResponse) => Promise<void> | undefined;
  /** Closes those without a request now, and every other one as soon as its last answer is done. */
  closeIdle(): void;
}

export function createConnections(): Connections {
  const open = new Map<Duplex, ServerResponse[]>();
  let isClosing = false;

  function onConnection(connection: Duplex): void {
    open.set(connection, []);
    connection.once('close', () => open.delete(connection));
  }

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    open.get(req.socket)?.push(res);
    res.once('close', onAnswered);
  }

  /** Shared by all answers: there may be thousands. */
  function onAnswered(this: ServerResponse): void {
    const { socket } = this.req;
    const due = open.get(socket);
    if (due === undefined) return;
    due.splice(due.indexOf(this), 1);
    if (isClosing && due.length === 0) socket.destroySoon();
  }

  return {
    track(server) {
      server.on('connection', onConnection);
      server.on('request', onRequest);
    },
    isAnswering: (connection) => (open.get(connection) ?? []).some((res) => res.headersSent && !res.writableFinished),
    awaitTurn(req, res) {
      const due = open.get(req.socket) ?? [];
      const before = due[due.indexOf(res) - 1];
      if (before === undefined) return undefined;
      return new Promise((resolve) => {
        before.once('close', resolve);
      });
    },
    closeIdle() {
      isClosing = true;
      for (const [connection, due] of open) if (due.length === 0) connection.destroy();
    },
  };
}
