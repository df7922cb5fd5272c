/** A plain HTTP client for tests: every byte and header as it came, over real sockets, one connection a request. */
import http, { type IncomingHttpHeaders } from 'node:http';
import { CLIENT_KEY } from './balancer.ts';

export interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** False when the connection ended before the answer did. */
  readonly isComplete: boolean;
}

export interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Sends the body chunked, in these pieces. */
  readonly pieces?: readonly (string | Buffer)[];
  /** Called with each piece of the answer as it comes. */
  readonly onData?: (piece: Buffer) => void;
  readonly signal?: AbortSignal;
}

/** Sends one request with the tests' client key, unless headers say otherwise. */
export function send(url: string, sent: Sent = {}): Promise<Received> {
  return sendBare(url, { ...sent, headers: { 'api-key': CLIENT_KEY, ...sent.headers } });
}

/** Sends one request with no credential but what is said; rejects only when no answer at all comes. */
export function sendBare(url: string, sent: Sent = {}): Promise<Received> {
  return new Promise((resolve, reject) => {
    const { body, pieces, headers, onData, signal } = sent;
    const isEmpty = body === undefined && pieces === undefined;
    const req = http.request(url, {
      method: sent.method ?? (isEmpty ? 'GET' : 'POST'),
      headers: { ...(isEmpty ? {} : { 'content-type': 'application/json' }), ...headers },
      agent: false,
      ...(signal === undefined ? {} : { signal }),
    });
    req.on('error', reject);
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        onData?.(chunk);
      });
      res.on('error', () => undefined); // `close` tells.
      res.on('close', () => {
        const { statusCode = 0, rawHeaders, complete } = res;
        resolve({
          status: statusCode,
          headers: res.headers,
          rawHeaders,
          body: Buffer.concat(chunks),
          isComplete: complete,
        });
      });
    });
    for (const piece of pieces ?? []) req.write(piece);
    req.end(body);
  });
}

/** A chat completion's body. */
export function chat(more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'Say hello.' }], ...more });
}

/** `{ code, message, type }` of an error in Azure's shape. */
export function errorOf(received: Received): {
  readonly code: string;
  readonly message: string;
  readonly type: string;
} {
  const body: unknown = JSON.parse(received.body.toString());
  if (typeof body !== 'object' || body === null || !('error' in body)) throw new Error("not an error in Azure's shape");
  const { error } = body;
  if (typeof error !== 'object' || error === null) throw new Error("not an error in Azure's shape");
  const { code = '', message = '', type = '' }: { code?: unknown; message?: unknown; type?: unknown } = error;
  return { code: String(code), message: String(message), type: String(type) };
}
