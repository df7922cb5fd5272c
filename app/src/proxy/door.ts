/**
 * The door: all that can be said of a request before a backend is asked. Who calls, how much they may use, whether
 * there is room, and what is asked. In the order of what it costs; whoever is turned away has cost no more than that.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Pass } from '../auth/client-limits.ts';
import type { ProxyEvent } from '../telemetry/events.ts';
import { credentialError, nameOf } from './credential-errors.ts';
import { LONGEST_DEPLOYMENT_NAME, pathOf, route, understand, type Asked, type Route } from './front-door.ts';
import type { HandlerDeps } from './handler-deps.ts';
import { clientRequestIdOf, requestIdHeader } from './headers.ts';
import { longestWaitMs } from './hold.ts';
import { ERROR_CODES, type ProxyError } from './proxy-error.ts';
import * as refusals from './refusals.ts';
import { sendErrorForNow, sendErrorUnread } from './reply.ts';
import { isEncoded, readBody, type HeldBody } from './request-body.ts';
import type { Trace } from './trace-context.ts';

/** A request that was let in. It owes a `leave`. */
export interface Entered {
  readonly kind: 'entered';
  readonly id: string;
  readonly client: string;
  readonly asked: Asked;
  /** Freed at commit: from then on there is no other attempt. */
  readonly body: HeldBody;
  /** Clock ms. */
  readonly startedAt: number;
  /** Absent for a client without limits. */
  readonly pass?: Pass;
  /** Tokens that its client was charged; 0 where they are not counted. */
  readonly charged: number;
  /** In ms; it would not wait longer for anything. */
  readonly longestWaitMs: number;
  /** There when traces are sent. */
  readonly trace?: Trace;
  /** Gives back what it held. `tokens`: what it came to, if anybody knows. */
  leave(tokens: number | undefined): Promise<void>;
}

/** It was answered, or left by itself; the event is to be told. */
export interface TurnedAway {
  readonly kind: 'turned-away';
  readonly event: ProxyEvent;
}

export type Door = (req: IncomingMessage, res: ServerResponse) => Promise<Entered | TurnedAway>;

/** A client that has been identified. */
interface Known {
  readonly client: string;
  readonly pass: Pass | undefined;
  /** In ms; it would not wait longer for anything. */
  readonly longestWaitMs: number;
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function createDoor(deps: HandlerDeps): Door {
  const { admission, clock, limits, limiter, estimator } = deps;
  const bodyLimits = { mostBytes: limits.maxBodyBytes, idleMs: limits.bodyIdleMs };

  async function enter(req: IncomingMessage, res: ServerResponse): Promise<Entered | TurnedAway> {
    const turn = deps.awaitTurn(req, res);
    if (turn !== undefined) await turn;
    // After an answer that closes the connection nobody hears of what was sent ahead.
    if (req.socket.destroyed || req.socket.writableEnded) return gone(req);
    if (/^websocket$/i.test(req.headers.upgrade ?? '')) return refuse(req, res, refusals.WEBSOCKET);
    if (!METHODS.has(req.method ?? '')) return refuse(req, res, refusals.METHOD_NOT_ALLOWED);
    const found = route(req.url ?? '/');
    if (found.kind !== 'route') return refuse(req, res, refusals.PATH_ERRORS[found.kind]);
    const identified = deps.identify(req.headers);
    const client = identified instanceof Promise ? await identified : identified;
    if (req.socket.destroyed) return gone(req);
    if (client.kind !== 'client') return refuse(req, res, credentialError(client), nameOf(client));
    const { name } = client;
    if (isEncoded(req)) return refuse(req, res, refusals.COMPRESSED_BODY, name);
    const mostMs = waitOf(req);
    if (mostMs === undefined) return refuse(req, res, refusals.INVALID_HOLD, name);
    const pass = await limiter.enter(name);
    if (pass?.kind === 'limit-reached') return shed(req, res, refusals.limitError(pass, deps.random), name);
    return admit(req, res, found, { client: name, pass, longestWaitMs: mostMs });
  }

  async function admit(
    req: IncomingMessage,
    res: ServerResponse,
    found: Route,
    known: Known,
  ): Promise<Entered | TurnedAway> {
    const noRoom = admission.enter();
    if (noRoom !== undefined) {
      await known.pass?.leave(0);
      return shed(req, res, refusals.NO_ROOM[noRoom], known.client);
    }
    let isIn = false;
    try {
      const entered = await readIn(req, res, found, known);
      isIn = entered.kind === 'entered';
      return entered;
    } finally {
      // Before it is told of, so that whoever hears of it finds all given back.
      if (!isIn) await leave(known, 0);
    }
  }

  async function readIn(
    req: IncomingMessage,
    res: ServerResponse,
    found: Route,
    known: Known,
  ): Promise<Entered | TurnedAway> {
    const { client, pass } = known;
    const startedAt = clock();
    const read = await readBody(req, admission.bodies, bodyLimits, () => goOn(req, res));
    if (read.kind === 'gone') return gone(req, client);
    if (read.kind !== 'body') return refuse(req, res, refusals.BODY_ERRORS[read.kind], client);
    const { body } = read;
    let isIn = false;
    try {
      const asked = understand(found, req.method ?? 'GET', req.headers['content-type'] ?? '', body);
      if (asked.deployment.length > LONGEST_DEPLOYMENT_NAME) {
        return refuse(req, res, refusals.LONG_DEPLOYMENT_NAME, client);
      }
      const cost = pass?.countsTokens === true ? asked.cost() : undefined;
      const charged = cost === undefined ? 0 : estimator.estimate(client, asked.deployment, cost);
      const reached = charged > 0 ? await pass?.charge(charged) : undefined;
      if (reached !== undefined) return refuse(req, res, refusals.limitError(reached, deps.random), client);
      isIn = true;
      const trace = deps.tracing?.begin(req.headers);
      return enteredWith(asked, body, startedAt, known, charged, trace);
    } finally {
      if (!isIn) body.free();
    }
  }

  function enteredWith(
    asked: Asked,
    body: HeldBody,
    startedAt: number,
    known: Known,
    charged: number,
    trace: Trace | undefined,
  ): Entered {
    const { client, pass } = known;
    return {
      kind: 'entered',
      id: deps.nextId(),
      client,
      asked,
      body,
      startedAt,
      charged,
      longestWaitMs: known.longestWaitMs,
      ...(pass === undefined ? {} : { pass }),
      ...(trace === undefined ? {} : { trace }),
      async leave(tokens) {
        body.free();
        await leave(known, tokens);
      },
    };
  }

  function leave({ pass }: Known, tokens: number | undefined): Promise<void> {
    admission.leave();
    return pass?.leave(tokens) ?? Promise.resolve();
  }

  /** No backend is asked, and what is left of the body is not kept. */
  function refuse(req: IncomingMessage, res: ServerResponse, error: ProxyError, client = ''): TurnedAway {
    return turnAway(req, res, error, client, sendErrorUnread);
  }

  /** There is no room for it now. Under load, a new connection for each that comes back is what nobody can afford. */
  function shed(req: IncomingMessage, res: ServerResponse, error: ProxyError, client: string): TurnedAway {
    return turnAway(req, res, error, client, sendErrorForNow);
  }

  function turnAway(
    req: IncomingMessage,
    res: ServerResponse,
    error: ProxyError,
    client: string,
    answer: typeof sendErrorUnread,
  ): TurnedAway {
    const id = deps.nextId();
    answer(req, res, error, requestIdHeader(id));
    const { code } = error;
    return turnedAway(req, id, client, { ending: 'refused', status: ERROR_CODES[code].status, code });
  }

  function gone(req: IncomingMessage, client = ''): TurnedAway {
    return turnedAway(req, deps.nextId(), client, ABANDONED);
  }

  function turnedAway(req: IncomingMessage, id: string, client: string, ending: NotServed): TurnedAway {
    return { kind: 'turned-away', event: notServed(req, id, client, ending) };
  }

  return enter;
}

type NotServed = Pick<Extract<ProxyEvent, { kind: 'request-finished' }>, 'ending' | 'status' | 'code'>;

/** The event of a request that no backend was asked for. */
export function notServed(req: IncomingMessage, requestId: string, client: string, ending: NotServed): ProxyEvent {
  const none = { operation: '', deployment: '', stream: false, attempts: 0, trace: '', durationMs: 0 };
  const clientRequestId = clientRequestIdOf(req.headers);
  const ids = { requestId, ...(clientRequestId === undefined ? {} : { clientRequestId }) };
  return { kind: 'request-finished', ...ids, client, ...targetOf(req), ...none, ...ending };
}

/** 499 is what nginx logs for a caller who left; nobody receives it. */
export const ABANDONED = { ending: 'abandoned', status: 499 } as const;

/** For events: no query, and no authority, which may hold a password. */
export function targetOf(req: IncomingMessage): { readonly method: string; readonly path: string } {
  return { method: req.method ?? 'GET', path: pathOf(req.url ?? '/') };
}

/** For a caller that sends its body only when it is wanted. */
function goOn(req: IncomingMessage, res: ServerResponse): void {
  if (req.headers.expect !== undefined && req.httpVersion === '1.1') res.writeContinue();
}

function waitOf({ headers }: IncomingMessage): number | undefined {
  const asked = headers['x-balancer-max-hold-ms'];
  return longestWaitMs(Array.isArray(asked) ? asked.join(',') : asked);
}
