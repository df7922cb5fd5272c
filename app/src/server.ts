/**
 * The HTTP server and its limits against strange and hostile callers. Node's parser refuses what request smuggling
 * needs (both lengths, two lengths, folded headers); here is the rest.
 */
import { createServer as createHttpServer, STATUS_CODES, type RequestListener, type Server } from 'node:http';
import type { Duplex } from 'node:stream';

export interface ServerLimits {
  /** An idle connection is kept this long; longer than any ingress does, so that it never closes under a request. */
  readonly keepAliveMs: number;
  /** All headers of a request. */
  readonly headersMs: number;
  /** A request with its body, to its last byte. */
  readonly requestMs: number;
}

export const SERVER_LIMITS: ServerLimits = { keepAliveMs: 250_000, headersMs: 30_000, requestMs: 600_000 };

export function createServer(listener: RequestListener, limits: ServerLimits = SERVER_LIMITS): Server {
  const server = createHttpServer({
    keepAliveTimeout: limits.keepAliveMs,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.min(5000, limits.headersMs),
    maxHeaderSize: 32_768,
    noDelay: true,
  });
  server.on('request', listener);
  server.on('connect', (_req, socket: Duplex) => {
    refuse(socket, 405, 'method_not_allowed', 'This is not a forward proxy: CONNECT is refused.');
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    if (error.code === 'HPE_HEADER_OVERFLOW') {
      return refuse(socket, 431, 'headers_too_large', 'The headers are larger than 32 KiB. Send less.');
    }
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
      return refuse(socket, 408, 'request_timeout', 'The request did not arrive in time. Send it again.');
    }
    refuse(socket, 400, 'malformed_request', 'This is not a request that HTTP/1.1 allows.');
  });
  return server;
}

/** On a connection that has no response object. */
function refuse(socket: Duplex, status: number, code: string, message: string): void {
  const body = JSON.stringify({ error: { code, message, type: 'invalid_request_error' } });
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
