// One simulated Azure OpenAI resource on a port of 127.0.0.1. This file owns its sockets; answering.ts decides what is
// answered and deliver.ts writes it.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { Answering } from './answering/answering.ts';
import { Behaviour } from './behaviour.ts';
import { Books } from './books.ts';
import type { Entry } from './books.ts';
import { CallLog } from './call-log.ts';
import type { Call } from './call-log.ts';
import { CONTROL_PREFIX, handleControl } from './control.ts';
import { deliver, pause } from './answering/deliver.ts';
import type { Answer } from './answering/deliver.ts';
import type { ResourceOptions } from './options.ts';
import { reserveOnce } from './reservation.ts';
import type { Fault } from './scenario.ts';
import { openSocketsOf, resetConnection } from './sockets.ts';

export type { Call } from './call-log.ts';
export type { DeploymentSpec, ResourceOptions } from './options.ts';

export interface SimulatedResource {
  readonly name: string;
  /** `http://127.0.0.1:41233`; with `https:` when it has a certificate. */
  readonly url: string;
  /** The last 10,000; a call is recorded when its head arrived, its body is filled in when complete. */
  readonly calls: readonly Call[];
  /** What it counted for each answer of a model that it began to give; the last 10,000. */
  readonly books: readonly Entry[];
  readonly openSockets: number;
  readonly openRequests: number;
  /** Each applies to one following request, in order. */
  script(...faults: Fault[]): void;
  /** Applies to every request while no scripted one is queued. */
  always(fault: Fault | undefined): void;
  /** 429 for that long with honest retry-after headers, for one deployment or for all. */
  throttle(ms: number, deployment?: string): void;
  /** No more than so many tokens a minute for that long, as the platform does at times; of one deployment or of all. */
  reduce(tpm: number, ms: number, deployment?: string): void;
  /** 401 `PermissionDenied` to tokens for that long, as until a new role is known everywhere. */
  withoutRole(ms: number): void;
  clearCalls(): void;
  /** Forgets faults, throttles and reductions, gives the role and starts every quota afresh. */
  clearFaults(): void;
  /** From now on connections are refused; those that exist are destroyed. The port stays taken: nobody else gets it. */
  stopListening(): Promise<void>;
  /** On the same port again. */
  listenAgain(): Promise<void>;
  dropIdleSockets(): void;
  close(): Promise<void>;
  /** The next request whose head arrives. */
  onceCalled(): Promise<Call>;
}

const HOST = '127.0.0.1';
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** Longer than any test, so that no idle socket is closed behind its back; dropIdleSockets does that on purpose. */
const KEEP_ALIVE_MS = 300_000;

export async function startResource(options: ResourceOptions): Promise<SimulatedResource> {
  const now = options.now ?? Date.now;
  const behaviour = new Behaviour(now, options.roleAfterMs);
  const answering = new Answering(options, behaviour);
  const log = new CallLog();
  const books = new Books();
  const chunkDelayMs = options.chunkDelayMs ?? 0;
  let openRequests = 0;

  const timeouts = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0, headersTimeout: 0 };
  const server =
    options.tls === undefined ? createServer(timeouts) : createSecureServer({ ...timeouts, ...options.tls });
  server.on('request', (req, res) => {
    if (req.url?.startsWith(CONTROL_PREFIX) === true) {
      handleControl(req, res, resource, () => behaviour.snapshot(now()));
      return;
    }
    serve(req, res);
  });
  const sockets = openSocketsOf(server);
  /** Those that carried a request before. */
  const used = new WeakSet<Socket>();

  function serve(req: IncomingMessage, res: ServerResponse): void {
    const fault = behaviour.nextFault(used.has(req.socket));
    used.add(req.socket);
    if (fault?.kind === 'stale') {
      resetConnection(req.socket);
      return;
    }
    const call = log.add(req, fault?.kind);
    openRequests += 1;
    res.once('close', () => {
      openRequests -= 1;
    });
    if (fault?.kind === 'refuse') {
      req.socket.destroy();
      return;
    }
    if (fault?.kind === 'early-answer') {
      send(res, answering.earlyAnswer(fault.status, req.headers), undefined);
      return;
    }
    readBody(req, (body) => {
      if (body === undefined) {
        send(res, answering.bodyTooLarge(req.headers), undefined);
        return;
      }
      log.complete(call, body);
      answerRead({ req, res, body, fault });
    });
  }

  function answerRead(read: ReadRequest): void {
    const { req, res, fault } = read;
    if (fault?.kind === 'hang') {
      return;
    }
    if (fault?.kind === 'reset-before-headers') {
      resetConnection(req.socket);
      return;
    }
    if (fault?.kind === 'slow-first-byte') {
      void pause(res, fault.ms).then((isOpen) => isOpen && answer(read)); // pause never rejects
      return;
    }
    answer(read);
  }

  function answer({ req, res, body, fault }: ReadRequest): void {
    const { method = '', url = '', headers } = req;
    const answered = answering.answer({ method, url, headers, body, fault });
    if (answered instanceof Promise) {
      void answered.then((late) => send(res, late, fault)); // reading a form never rejects
    } else {
      send(res, answered, fault);
    }
  }

  function send(res: ServerResponse, answered: Answer, fault: Fault | undefined): void {
    if (res.destroyed) {
      answered.onEnd?.();
    } else {
      const end = answered.booked === undefined ? undefined : books.begin(answered.booked);
      res.once('close', () => {
        end?.(res.writableFinished);
        answered.onEnd?.();
      });
      void deliver(res, answered, fault, chunkDelayMs); // deliver never rejects: a closed response ends it
    }
  }

  async function listen(port: number): Promise<number> {
    server.listen(port, HOST);
    await once(server, 'listening'); // rejects with the server's error, such as EADDRINUSE
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async function stop(): Promise<void> {
    if (!server.listening) {
      return;
    }
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) {
      socket.destroy();
    }
    await closed;
  }

  const port = await listen(options.port ?? 0);
  /** What it is kept taken with while nobody listens there. */
  let freePort = (): void => {};
  const resource: SimulatedResource = {
    name: options.name,
    url: `${options.tls === undefined ? 'http' : 'https'}://${HOST}:${port}`,
    get calls() {
      return log.calls;
    },
    get books() {
      return books.entries;
    },
    get openSockets() {
      return sockets.size;
    },
    get openRequests() {
      return openRequests;
    },
    script: (...faults) => behaviour.script(faults),
    always: (fault) => behaviour.always(fault),
    throttle: (ms, deployment) => behaviour.throttle(now() + ms, deployment),
    reduce: (tpm, ms, deployment) => behaviour.limits.reduce(tpm, now() + ms, deployment),
    withoutRole: (ms) => behaviour.withoutRole(now() + ms),
    clearCalls: () => log.clear(),
    clearFaults: () => behaviour.clear(),
    async stopListening() {
      if (server.listening) {
        freePort = await reserveOnce(port, stop);
      }
    },
    async listenAgain() {
      await listen(port);
      freePort();
    },
    dropIdleSockets: () => server.closeIdleConnections(),
    async close() {
      await stop();
      freePort();
    },
    onceCalled: () => log.next(),
  };
  return resource;
}

interface ReadRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly body: Buffer;
  readonly fault: Fault | undefined;
}

/** Calls back once with the whole body, or undefined when it is too large; never when the caller goes away before. */
function readBody(req: IncomingMessage, onRead: (body: Buffer | undefined) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) {
      chunks.push(chunk);
    }
  });
  req.on('end', () => {
    const [only] = chunks;
    if (bytes > MAX_BODY_BYTES) {
      onRead(undefined);
    } else {
      onRead(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
    }
  });
  // A caller that goes away in mid-body is no error of the resource.
  req.on('error', () => {});
}
