/**
 * The callers' connections and whether an answer is under way on each. Node's own list of idle connections leaves out
 * those that never sent a request, and forgets that one turned idle after the server was closed.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Connections {
  /** An answer has begun and not ended: nothing else may be written there. */
  isAnswering(connection: Duplex): boolean;
  /** Closes those without a request now, and every other one as soon as its last answer is done. */
  closeIdle(): void;
}

export function trackConnections(server: Server): Connections {
  /** The answers that are due on each. */
  const open = new Map<Duplex, Set<ServerResponse>>();
  let isClosing = false;

  server.on('connection', (connection) => {
    open.set(connection, new Set());
    connection.once('close', () => open.delete(connection));
  });
  server.on('request', ({ socket }, res) => {
    const answers = open.get(socket);
    if (answers === undefined) return;
    answers.add(res);
    res.once('close', () => {
      answers.delete(res);
      if (isClosing && answers.size === 0) socket.destroySoon();
    });
  });
  return {
    isAnswering(connection) {
      for (const res of open.get(connection) ?? []) if (res.headersSent && !res.writableFinished) return true;
      return false;
    },
    closeIdle() {
      isClosing = true;
      for (const [connection, answers] of open) if (answers.size === 0) connection.destroy();
    },
  };
}
