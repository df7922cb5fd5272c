// The balancer's attempt with undici. One undici client a connection, in a pool of our own: undici's says neither whether a
// request went out on a connection that was used before (which tells a stale socket from a reset) nor gives a fresh one.
import { Readable } from 'node:stream';
import { Client, errors, type Dispatcher } from 'undici';
import type { AnswerBody, Attempt, Forwarded, Forwarder, ForwardOptions, Target } from '../../app/src/proxy/forward.ts';
import { ABANDONED, isFinal, Pending } from './pending.ts';

/** Deadlines are the balancer's; a kept connection lives as long as its backend lets it. */
const clientOptions: Client.Options = {
  allowH2: false,
  pipelining: 1,
  connectTimeout: 0,
  headersTimeout: 0,
  bodyTimeout: 0,
  keepAliveTimeout: 600_000,
};
const mostIdle = 256;

export function createForwarder(options: ForwardOptions): Forwarder {
  const connections = new Set<Connection>();
  const idle = new Map<string, Connection[]>();

  function open(origin: string): Connection {
    const connection = new Connection(origin);
    connections.add(connection);
    connection.client.on('disconnect', () => {
      connection.isUsed = false;
      if (connection.isIdle) drop(connection);
    });
    return connection;
  }

  function drop(connection: Connection): void {
    connections.delete(connection);
    const kept = idle.get(connection.origin) ?? [];
    const at = kept.indexOf(connection);
    if (at >= 0) kept.splice(at, 1);
    connection.destroy();
  }

  function take(origin: string): Connection {
    const connection = idle.get(origin)?.pop() ?? open(origin);
    connection.isIdle = false;
    return connection;
  }

  function giveBack(connection: Connection): void {
    const kept = idle.get(connection.origin) ?? [];
    if (kept.length >= mostIdle) return drop(connection);
    connection.isIdle = true;
    connection.isUsed = true;
    kept.push(connection);
    idle.set(connection.origin, kept);
  }

  function forward(attempt: Attempt, signal: AbortSignal): Promise<Forwarded> {
    if (signal.aborted) return Promise.resolve(ABANDONED);
    const origin = originOf(attempt.target);
    const connection = attempt.fresh ? open(origin) : take(origin);
    return new Promise((resolve, reject) => {
      const pending = new Pending(options, { resolve, signal, cancel: () => drop(connection) });
      const flight = new Flight(connection, pending, reject, {
        finished: () => (attempt.fresh ? drop(connection) : giveBack(connection)),
        left: () => drop(connection),
      });
      flight.send(attempt);
    });
  }

  function close(): void {
    for (const connection of connections) connection.destroy();
    connections.clear();
    idle.clear();
  }

  return { forward, close };
}

class Connection {
  readonly origin: string;
  readonly client: Client;
  isConnected = false;
  /** It has carried a request to its end. */
  isUsed = false;
  isIdle = false;

  constructor(origin: string) {
    this.origin = origin;
    this.client = new Client(origin, clientOptions);
    this.client.on('connect', () => {
      this.isConnected = true;
    });
    this.client.on('disconnect', () => {
      this.isConnected = false;
    });
  }

  destroy(): void {
    this.client.destroy().catch(ignore);
  }
}

interface Endings {
  /** The answer was received whole. */
  readonly finished: () => void;
  /** The rest of the answer is not wanted. */
  readonly left: () => void;
}

class Flight implements Dispatcher.DispatchHandler {
  private readonly connection: Connection;
  private readonly pending: Pending;
  private readonly reject: (bug: unknown) => void;
  private readonly endings: Endings;
  private readonly wasUsed: boolean;
  private body: UndiciBody | undefined;

  constructor(connection: Connection, pending: Pending, reject: (bug: unknown) => void, endings: Endings) {
    this.connection = connection;
    this.wasUsed = connection.isUsed;
    this.pending = pending;
    this.reject = reject;
    this.endings = endings;
  }

  send({ method, path, headers, body, fresh }: Attempt): void {
    if (this.connection.isConnected) {
      this.pending.connected();
    } else {
      this.pending.connecting();
      this.connection.client.once('connect', this.pending.connected);
    }
    this.connection.client.dispatch(
      { method, path, headers, body: body.length === 0 ? null : body, reset: fresh },
      this,
    );
  }

  onRequestStart(): void {
    // Where a handler begins; without it undici refuses the handler.
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    if (this.pending.isSettled || !isFinal(status)) return this.pending.fail('reset');
    this.body = new UndiciBody(controller, this.endings.left);
    this.pending.answer(status, textsOf(controller.rawHeaders), this.body);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.body?.push(chunk) === false) controller.pause();
  }

  onResponseEnd(): void {
    if (this.body === undefined) return;
    this.body.complete = true;
    this.endings.finished();
    this.body.push(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.body !== undefined) return void this.body.destroy();
    // Thrown while the request was built: nothing was sent, and no backend is to blame.
    if (error instanceof errors.InvalidArgumentError && !this.pending.isSettled) {
      this.pending.release();
      this.reject(error);
      return;
    }
    this.pending.broke(this.wasUsed);
  }
}

/** `close` without `end` when it was cut, like Node's own. */
class UndiciBody extends Readable implements AnswerBody {
  complete = false;
  private readonly controller: Dispatcher.DispatchController;
  private readonly left: () => void;

  constructor(controller: Dispatcher.DispatchController, left: () => void) {
    super();
    this.controller = controller;
    this.left = left;
  }

  override _read(): void {
    this.controller.resume();
  }

  override _destroy(_error: Error | null, done: () => void): void {
    if (!this.complete) this.left();
    done();
  }
}

function originOf({ protocol, hostname, port }: Target): string {
  return `${protocol}//${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`;
}

function textsOf(rawHeaders: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(rawHeaders)
    ? rawHeaders.map((each) => (typeof each === 'string' ? each : each.toString('latin1')))
    : [];
}

function ignore(): void {
  // A connection that is given up has nothing to say.
}
