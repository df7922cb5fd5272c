/** A backend made of bytes: for answers that no HTTP server gives, and requests read as they arrived. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

export interface RawUpstream {
  /** For BACKEND_n_URL. */
  readonly url: string;
  readonly host: string;
  /** The whole requests that arrived, heads and bodies. */
  readonly requests: readonly string[];
  /** How many connections were ever made. */
  readonly connections: number;
  close(): Promise<void>;
}

/** Called with each whole request, to answer it. */
export type RawAnswering = (socket: Socket, request: string) => void;

/** `onHead` is called before the body is there. */
export async function startRawUpstream(onRequest: RawAnswering, onHead?: RawAnswering): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // The balancer may cut it at any time.
    let received = Buffer.alloc(0);
    let isHeadTold = false;
    const read = (): void => {
      const headLength = received.indexOf('\r\n\r\n') + 4;
      if (headLength === 3) return;
      const headText = received.toString('latin1', 0, headLength);
      if (!isHeadTold) onHead?.(socket, headText);
      isHeadTold = true;
      const length = headLength + Number(/\r\ncontent-length: *(\d+)/i.exec(headText)?.[1] ?? 0);
      if (received.length < length) return;
      const request = received.toString('latin1', 0, length);
      received = received.subarray(length);
      isHeadTold = false;
      requests.push(request);
      onRequest(socket, request);
      // The next may have come with the end of this one.
      read();
    };
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      read();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const host = `127.0.0.1:${address.port}`;
  return {
    url: `http://${host}`,
    host,
    requests,
    get connections() {
      return connections;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A whole answer with a content-length. */
export function rawAnswer(statusLine: string, headers: readonly string[], body = ''): string {
  return `HTTP/1.1 ${statusLine}\r\n${[...headers, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`;
}
