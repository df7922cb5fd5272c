/** The endpoint where tenants publish their signing keys, on loopback: in whatever state the test puts it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { documentOf, TENANT } from './tokens.ts';

/**
 * keys: the document. held: silence until `release`. endless: a body that never ends. stalled: headers and half a
 * document. reset: the connection is broken off.
 */
export type KeyAnswer =
  | 'keys'
  | 'held'
  | 'endless'
  | 'stalled'
  | 'reset'
  | { readonly status?: number; readonly headers?: OutgoingHttpHeaders; readonly body?: string | Buffer };

export interface KeyServer {
  /** For ENTRA_JWKS_URL: `http://127.0.0.1:41233/{tenant}/keys` */
  readonly url: string;
  readonly origin: string;
  /** The paths that were asked for, in order. */
  readonly requests: readonly string[];
  /** Requests that wait for `release`. */
  readonly held: number;
  /** Connections that stand. */
  readonly openSockets: number;
  urlOf(tenant: string): string;
  /** What this tenant publishes from now on: entries of a key document. */
  publish(keys: readonly unknown[], tenant?: string): void;
  /** How it answers from now on. */
  answerWith(answer: KeyAnswer): void;
  /** Answers those that are held, with what is published now. */
  release(): void;
  /** Connections are refused. */
  stopListening(): Promise<void>;
  /** On the same port. */
  listenAgain(): Promise<void>;
  close(): Promise<void>;
}

export async function startKeyServer(...keys: readonly { readonly jwk: unknown }[]): Promise<KeyServer> {
  const published = new Map<string, readonly unknown[]>([[TENANT, keys.map(({ jwk }) => jwk)]]);
  const requests: string[] = [];
  const sockets = new Set<unknown>();
  const held = new Set<() => void>();
  let answer: KeyAnswer = 'keys';

  const server = createServer((req, res) => {
    requests.push(req.url ?? '');
    // A connection of its own for every fetch: whether it is refused does not depend on one that was kept.
    res.shouldKeepAlive = false;
    reply(req.url ?? '', res, answer);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });

  function reply(path: string, res: ServerResponse, how: KeyAnswer): void {
    const document = documentOf(...(published.get(path.split('/')[1] ?? '') ?? []));
    const headers = { 'content-type': 'application/json' };
    if (how === 'keys') res.writeHead(200, headers).end(document);
    else if (how === 'held') hold(path, res);
    else if (how === 'endless') pour(res.writeHead(200, headers));
    else if (how === 'stalled') res.writeHead(200, headers).write(document.slice(0, document.length / 2));
    else if (how === 'reset') res.destroy();
    else res.writeHead(how.status ?? 200, how.headers ?? headers).end(how.body ?? document);
  }

  function hold(path: string, res: ServerResponse): void {
    const release = (): void => reply(path, res, 'keys');
    held.add(release);
    res.on('close', () => held.delete(release));
  }

  async function listen(port: number): Promise<void> {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  }

  async function stopListening(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  await listen(0);
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const { port } = address;
  const origin = `http://127.0.0.1:${port}`;

  return {
    url: `${origin}/{tenant}/keys`,
    origin,
    requests,
    get held() {
      return held.size;
    },
    get openSockets() {
      return sockets.size;
    },
    urlOf: (tenant) => `${origin}/${tenant}/keys`,
    publish(entries, tenant = TENANT) {
      published.set(tenant, entries);
    },
    answerWith(next) {
      answer = next;
    },
    release() {
      const waiting = [...held];
      held.clear();
      for (const go of waiting) go();
    },
    stopListening,
    listenAgain: () => listen(port),
    close: stopListening,
  };
}

/** Writes as fast as the other side reads, until it has had enough. */
function pour(res: ServerResponse): void {
  const piece = Buffer.alloc(16_384, 0x20);
  const write = (): void => {
    while (!res.destroyed && res.write(piece));
  };
  res.on('drain', write);
  write();
}
