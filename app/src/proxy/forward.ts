/**
 * ONE attempt at one backend, up to its response headers. The only importer of http-proxy-middleware.
 *
 * The middleware never sees the caller's request or response but two small facades of this attempt:
 * httpxy destroys the response it was given when a discarded upstream response breaks, can report a response and an
 * error for the same attempt, and leaves listeners on both objects. A facade is settled once and forgotten.
 * Deadlines are ours: httpxy's `proxyTimeout` is socket idleness and cannot be told from a reset.
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { createProxyMiddleware, type Plugin } from 'http-proxy-middleware';
import type { FailureCause, Outcome } from '../balancer/outcome.ts';
import { createAgents } from './agents.ts';
import { Deadline } from './deadline.ts';

/** Where to: the parts of a backend's origin, taken apart once. */
export interface Target {
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number;
  /** The Host header: name, and port where it is not the scheme's own. */
  readonly host: string;
}

export interface Attempt {
  readonly target: Target;
  readonly method: string;
  /** With the query string. */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** A connection of its own, so that a reset cannot be a keep-alive connection's end (and is never ambiguous). */
  readonly fresh: boolean;
  /** Aborted when a stream has taken too long to its first content; absent: only the other limits hold. */
  readonly late?: AbortSignal;
}

/** `close` without `end` is a body that was cut. */
export interface AnswerBody extends Readable {
  /** All of it has arrived, though maybe not been read. */
  readonly complete: boolean;
}

/** An upstream response whose body nobody has read yet. */
export interface Answer {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  /** One header by its lower-case name. */
  readonly header: (name: string) => string | undefined;
  readonly body: AnswerBody;
}

/** The attempt failed before there was an answer to give. */
export interface Failed {
  readonly kind: 'failed';
  readonly outcome: Outcome;
}

export type Forwarded = { readonly kind: 'answer'; readonly answer: Answer } | Failed;

/** Resolves for everything that networks and backends do; rejects only on bugs. */
export type Forward = (attempt: Attempt, signal: AbortSignal) => Promise<Forwarded>;

export interface ForwardOptions {
  /** Until the connection and TLS stand. */
  readonly connectTimeoutMs: number;
  /** From then until the response headers. */
  readonly headerTimeoutMs: number;
}

export interface Forwarder {
  readonly forward: Forward;
  /** Destroys the kept connections. */
  readonly close: () => void;
}

export type CreateForwarder = (options: ForwardOptions) => Forwarder;

/** Takes a backend's origin apart. */
export function targetOf(origin: string): Target {
  const url = new URL(origin);
  const protocol = url.protocol === 'http:' ? 'http:' : 'https:';
  return {
    protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (protocol === 'http:' ? 80 : 443),
    host: url.host,
  };
}

export function createForwarder(options: ForwardOptions): Forwarder {
  const { agentFor, close } = createAgents();
  const middleware = createProxyMiddleware({
    ejectPlugins: true, // The default ones answer the caller on the first failed attempt.
    plugins: [reportToFlight],
    selfHandleResponse: true,
    prependPath: false,
    pathFilter: () => true,
    router: (req, _res, perRequest) => {
      const { attempt } = flightOf(req);
      const { body, target } = attempt;
      // A Stream by type; httpxy only calls `pipe`. Raw bytes replay without one.
      perRequest.buffer = { pipe: (to: ClientRequest) => to.end(body) } as never;
      perRequest.agent = agentFor(target.protocol, attempt.fresh);
      return { protocol: target.protocol, hostname: target.hostname, port: target.port };
    },
  });

  function forward(attempt: Attempt, signal: AbortSignal): Promise<Forwarded> {
    if (signal.aborted) return Promise.resolve(failed({ kind: 'abandoned' }));
    return new Promise((resolve, reject) => {
      const flight = new Flight(attempt, options, { resolve, reject, signal });
      // Its promise says nothing that the events do not; `next` is called for errors that were thrown at preparing.
      void middleware(flight.req as unknown as IncomingMessage, flight.res as unknown as ServerResponse, (error) => {
        if (error instanceof Error) flight.onError(error);
      });
    });
  }

  return { forward, close };
}

const reportToFlight: Plugin = (proxy) => {
  proxy.on('proxyReq', (proxyReq, req) => flightOf(req).onRequest(proxyReq));
  proxy.on('proxyRes', (proxyRes, req) => flightOf(req).onResponse(proxyRes));
  proxy.on('error', (error, req) => {
    if (req !== undefined) flightOf(req).onError(error);
  });
};

/** What httpxy reads of a request, and no more. */
class RequestFacade {
  readonly flight: Flight;
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly httpVersion = '1.1';
  readonly httpVersionMajor = 1;
  // A connection that looks alive: the caller's end is told through `ResponseFacade.close`.
  readonly socket = ALIVE;

  constructor(flight: Flight, attempt: Attempt) {
    this.flight = flight;
    this.method = attempt.method;
    this.url = attempt.path;
    this.headers = attempt.headers;
  }

  on(): this {
    return this;
  }
}

const ALIVE = { writable: true };

/** What httpxy reads of a response. Closing it unfinished cancels the attempt. */
class ResponseFacade {
  headersSent = false;
  finished = false;
  writableFinished = false;
  destroyed = false;
  private isClosed = false;
  private readonly onClose: (() => void)[] = [];

  on(event: string, listener: () => void): this {
    if (event !== 'close') return this;
    if (this.isClosed) listener();
    else this.onClose.push(listener);
    return this;
  }

  close(finished: boolean): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.finished = finished; // httpxy adds no listeners to the upstream response of a finished one.
    this.writableFinished = finished;
    for (const listener of this.onClose.splice(0)) listener();
  }

  destroy(): void {
    this.destroyed = true;
  }
}

interface Settling {
  readonly resolve: (forwarded: Forwarded) => void;
  readonly reject: (bug: unknown) => void;
  readonly signal: AbortSignal;
}

/** One attempt under way: settled once, and every timer and listener released there. */
class Flight {
  readonly attempt: Attempt;
  readonly req: RequestFacade;
  readonly res = new ResponseFacade();
  private readonly options: ForwardOptions;
  private readonly settling: Settling;
  private proxyReq: ClientRequest | undefined;
  private timer: Deadline | undefined;
  private isConnected = false;
  private isSettled = false;

  constructor(attempt: Attempt, options: ForwardOptions, settling: Settling) {
    this.attempt = attempt;
    this.options = options;
    this.settling = settling;
    this.req = new RequestFacade(this, attempt);
    settling.signal.addEventListener('abort', this.onAbort);
    attempt.late?.addEventListener('abort', this.onLate);
  }

  /** The request has a socket, which may still be connecting. */
  onRequest(proxyReq: ClientRequest): void {
    this.proxyReq = proxyReq;
    // An upgrade that nobody asked for ends without an error; so may what is not known yet.
    proxyReq.once('close', this.onClose);
    const { socket } = proxyReq;
    if (this.isSettled || socket === null) return void proxyReq.destroy();
    if (!socket.connecting) return this.onConnected();
    socket.once(this.attempt.target.protocol === 'https:' ? 'secureConnect' : 'connect', this.onConnected);
    this.deadline(this.options.connectTimeoutMs, 'connect', 'CONNECT_TIMEOUT');
  }

  onResponse(proxyRes: IncomingMessage): void {
    // After an error or a deadline this is the same attempt's other report: nobody may see it.
    if (this.isSettled) return void proxyRes.destroy();
    // An upstream that breaks before anybody listens must not end the process.
    proxyRes.on('error', ignore);
    const { rawHeaders, statusCode = 0 } = proxyRes;
    if (statusCode < 200 || statusCode > 599) return this.onNonsense(proxyRes);
    const answer = { status: statusCode, rawHeaders, header: headerIn(rawHeaders), body: proxyRes };
    this.settle({ kind: 'answer', answer });
  }

  onError(error: Error): void {
    if (this.isSettled) return;
    // Thrown while the request was built, not by the network: nothing was sent, and no backend is to blame.
    if (this.proxyReq === undefined && !('syscall' in error)) {
      this.release();
      this.settling.reject(error);
      return;
    }
    this.fail(this.isConnected ? this.resetCause() : 'connect', codeOf(error));
  }

  /** No status that HTTP knows: whatever this is, it is no answer. */
  private onNonsense(proxyRes: IncomingMessage): void {
    this.fail('reset');
    proxyRes.destroy();
  }

  private readonly onClose = (): void => {
    this.fail(this.isConnected ? this.resetCause() : 'connect');
  };

  private readonly onConnected = (): void => {
    this.isConnected = true;
    this.deadline(this.options.headerTimeoutMs, 'header-timeout');
  };

  private readonly onLate = (): void => {
    if (this.isConnected) this.fail('first-token-timeout');
    else this.fail('connect', 'CONNECT_TIMEOUT');
  };

  private readonly onAbort = (): void => {
    this.settle(failed({ kind: 'abandoned' }));
  };

  private resetCause(): FailureCause {
    return this.proxyReq?.reusedSocket === true ? 'stale-socket' : 'reset';
  }

  private deadline(ms: number, cause: FailureCause, code?: string): void {
    this.timer?.cancel();
    this.timer = new Deadline(ms, () => this.fail(cause, code));
  }

  private fail(cause: FailureCause, code?: string): void {
    this.settle(failed(code === undefined ? { kind: 'failed', cause } : { kind: 'failed', cause, code }));
  }

  private settle(forwarded: Forwarded): void {
    if (this.isSettled) return;
    this.release();
    // Unfinished, it destroys the upstream request: the deadline passed, or the caller left.
    this.res.close(forwarded.kind === 'answer');
    this.settling.resolve(forwarded);
  }

  private release(): void {
    this.isSettled = true;
    this.timer?.cancel();
    this.settling.signal.removeEventListener('abort', this.onAbort);
    this.attempt.late?.removeEventListener('abort', this.onLate);
    // What httpxy listens with holds this attempt and its body for as long as the answer streams.
    this.proxyReq?.removeAllListeners('socket').removeAllListeners('response').removeAllListeners('error');
    this.proxyReq?.off('close', this.onClose).on('error', ignore);
    this.proxyReq?.socket?.off('connect', this.onConnected).off('secureConnect', this.onConnected);
  }
}

export function headerIn(rawHeaders: readonly string[]): Answer['header'] {
  return (name) => headerOf(rawHeaders, name);
}

/** Looked up where it lies: a handful of look-ups cost less than the object of all headers. */
function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const found = rawHeaders[i] ?? '';
    if (found.length === name.length && found.toLowerCase() === name) return rawHeaders[i + 1];
  }
  return undefined;
}

/** What the network, TLS or the parser said: `ENOTFOUND`, `CERT_HAS_EXPIRED`. Never a message: those quote what came. */
function codeOf(error: Error): string | undefined {
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? code : undefined;
}

function flightOf(req: IncomingMessage): Flight {
  return (req as unknown as RequestFacade).flight;
}

function failed(outcome: Outcome): Failed {
  return { kind: 'failed', outcome };
}

function ignore(): void {
  // Said by the reader of the body; see proxy/peek.ts and proxy/relay.ts.
}
