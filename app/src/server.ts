/**
 * The HTTP server and its limits against strange and hostile callers. Node's parser refuses what request smuggling
 * needs (both lengths, two lengths, folded headers); here is the rest.
 */
import {
  createServer as createHttpServer,
  STATUS_CODES,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Connections } from './proxy/connections.ts';
import { ERROR_CODES, errorBody, type ProxyError } from './proxy/proxy-error.ts';
import * as refusals from './proxy/refusals.ts';
import { SAFE_HEADERS, sendErrorUnread } from './proxy/reply.ts';

export interface ServerLimits {
  /** An idle connection is kept this long; longer than any ingress does, so that it never closes under a request. */
  readonly keepAliveMs: number;
  /** All headers of a request. */
  readonly headersMs: number;
  /** A request with its body, to its last byte. */
  readonly requestMs: number;
}

export const SERVER_LIMITS: ServerLimits = { keepAliveMs: 250_000, headersMs: 30_000, requestMs: 300_000 };

export interface ServerParts {
  readonly listener: RequestListener;
  readonly connections: Connections;
  /** Told of what never became a request. */
  readonly onRefused: (error: ProxyError) => void;
  readonly limits?: ServerLimits;
}

export function createServer({ listener, connections, onRefused, limits = SERVER_LIMITS }: ServerParts): Server {
  const server = createHttpServer({
    keepAliveTimeout: limits.keepAliveMs,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.min(5000, limits.headersMs),
    maxHeaderSize: 32_768,
    noDelay: true,
    requireHostHeader: false, // Node's refusal has no body; see `isMalformed`.
  });
  connections.track(server);

  function refuse(socket: Duplex, error: ProxyError): void {
    // In the middle of an answer it would be read as part of it: what is written goes out, and no more.
    if (connections.isAnswering(socket) || !socket.writable) {
      if (socket instanceof Socket) socket.destroySoon();
      return;
    }
    onRefused(error);
    socket.on('error', () => socket.destroy());
    socket.end(bareAnswer(error), () => socket.destroy());
  }

  function refuseRequest(req: IncomingMessage, res: ServerResponse, error: ProxyError): void {
    onRefused(error);
    sendErrorUnread(req, res, error);
  }

  server.on('request', (req, res) => {
    if (isMalformed(req)) refuseRequest(req, res, refusals.MALFORMED_REQUEST);
    else listener(req, res);
  });
  // Told to go on where the body is read: a caller who is refused before should not send it at all.
  server.on('checkContinue', (req, res) => server.emit('request', req, res));
  server.on('checkExpectation', (req, res) => refuseRequest(req, res, refusals.EXPECTATION_FAILED));
  server.on('connect', (_req, socket: Duplex) => refuse(socket, refusals.METHOD_NOT_ALLOWED));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else refuse(socket, PARSER_REFUSALS.get(error.code ?? '') ?? refusals.MALFORMED_REQUEST);
  });
  return server;
}

const PARSER_REFUSALS: ReadonlyMap<string, ProxyError> = new Map([
  ['HPE_HEADER_OVERFLOW', refusals.HEADERS_TOO_LARGE],
  ['ERR_HTTP_REQUEST_TIMEOUT', refusals.REQUEST_TIMEOUT],
]);

/**
 * RFC 9112 §3.2: HTTP/1.1 needs one Host, and no version may have two. §6.1: a transfer coding that is not understood
 * must be refused; only chunked is undone here, and anything else would arrive at a backend as something it is not.
 */
function isMalformed({ rawHeaders, headers, httpVersion }: IncomingMessage): boolean {
  if (!/^(?:chunked)?$/i.test(headers['transfer-encoding'] ?? '')) return true;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1 || (hosts === 0 && httpVersion === '1.1');
}

/** For a connection that has no response object. */
function bareAnswer(error: ProxyError): string {
  const { status } = ERROR_CODES[error.code];
  const body = errorBody(error);
  const headers = {
    ...SAFE_HEADERS,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...error.headers,
  };
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`;
}
