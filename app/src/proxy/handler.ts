/**
 * The failover loop: enter, read, understand, then ask one backend after another until one answers.
 * Decisions are the pool's and failover.ts's; this file is their order.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decide, refuse, type NoneReason } from '../balancer/failover.ts';
import type { Outcome } from '../balancer/outcome.ts';
import type { Lease } from '../balancer/pool.ts';
import { parseQuota } from '../balancer/quota.ts';
import { TokenError } from '../auth/token-source.ts';
import type { ProxyEvent } from '../telemetry/events.ts';
import { Course } from './course.ts';
import { credentialError, nameOf } from './credential-errors.ts';
import type { Answer, Failed } from './forward.ts';
import {
  LONGEST_DEPLOYMENT_NAME,
  operationLabel,
  pathOf,
  route,
  understand,
  type Asked,
  type Route,
} from './front-door.ts';
import type { HandlerDeps } from './handler-deps.ts';
import { upstreamHeaders, type Credential } from './headers.ts';
import { peek, type KeptAnswer, type Peeked, type PeekFailed } from './peek.ts';
import { ERROR_CODES, type ProxyError } from './proxy-error.ts';
import * as refusals from './refusals.ts';
import { relay, StreamEnd, type Relayed } from './relay.ts';
import { sendError, sendErrorUnread } from './reply.ts';
import { isEncoded, readBody, type HeldBody } from './request-body.ts';
import { untilAborted } from './until-aborted.ts';

export type ProxyHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** One request that was let in. */
interface Call {
  readonly id: string;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly asked: Asked;
  readonly signal: AbortSignal;
  /** Freed at commit: from then on there is no other attempt. */
  readonly body: HeldBody;
}

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;
/** How a request ended, for its last event. `trace`: with a last step that the course does not have. */
type Ending = Pick<Finished, 'ending' | 'status' | 'backend' | 'code'> & { readonly trace?: string };

export function createProxyHandler(deps: HandlerDeps): ProxyHandler {
  const { pool, admission, clock, observe, limits } = deps;
  const peekLimits = { ...limits, streamSilenceMs: limits.sseKeepAliveMs };
  const relayLimits = { idleMs: limits.idleMs, keepAliveMs: limits.sseKeepAliveMs };

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const turn = deps.awaitTurn(req, res);
    if (turn !== undefined) await turn;
    if (req.socket.destroyed) return observe(notServed(req, '', ABANDONED));
    if (/^websocket$/i.test(req.headers.upgrade ?? '')) return turnAway(req, res, refusals.WEBSOCKET);
    if (!METHODS.has(req.method ?? '')) return turnAway(req, res, refusals.METHOD_NOT_ALLOWED);
    const found = route(req.url ?? '/');
    if (found.kind !== 'route') return turnAway(req, res, refusals.PATH_ERRORS[found.kind]);
    const identified = deps.identify(req.headers);
    const client = identified instanceof Promise ? await identified : identified;
    if (req.socket.destroyed) return observe(notServed(req, '', ABANDONED));
    if (client.kind !== 'client') return turnAway(req, res, credentialError(client), nameOf(client));
    const { name } = client;
    if (isEncoded(req)) return turnAway(req, res, refusals.COMPRESSED_BODY, name);
    if (!admission.enter()) return turnAway(req, res, refusals.TOO_MANY_REQUESTS_IN_FLIGHT, name);
    // Told when all is given back, so that whoever hears of it finds it so.
    const finished = await admitted(req, res, found, name).finally(admission.leave);
    if (finished !== undefined) observe(finished);
  }

  /** Refused at the door: no backend is asked, and what is left of the body is not kept. */
  function turnAway(req: IncomingMessage, res: ServerResponse, error: ProxyError, client = ''): void {
    observe(refused(req, res, error, client));
  }

  function refused(req: IncomingMessage, res: ServerResponse, error: ProxyError, client: string): ProxyEvent {
    sendErrorUnread(req, res, error);
    const { code } = error;
    return notServed(req, client, { ending: 'refused', status: ERROR_CODES[code].status, code });
  }

  function notServed(req: IncomingMessage, client: string, ending: Ending): ProxyEvent {
    const none = { operation: '', deployment: '', attempts: 0, trace: '', durationMs: 0 };
    return { kind: 'request-finished', requestId: deps.nextId(), client, ...targetOf(req), ...none, ...ending };
  }

  async function admitted(
    req: IncomingMessage,
    res: ServerResponse,
    found: Route,
    client: string,
  ): Promise<ProxyEvent | undefined> {
    const startedAt = clock();
    const bodyLimits = { mostBytes: limits.maxBodyBytes, idleMs: limits.bodyIdleMs };
    const read = await readBody(req, admission.bodies, bodyLimits, () => goOn(req, res));
    if (read.kind === 'gone') return notServed(req, client, ABANDONED);
    if (read.kind !== 'body') return refused(req, res, refusals.BODY_ERRORS[read.kind], client);
    const { body } = read;
    const asked = understand(found, req.method ?? 'GET', req.headers['content-type'] ?? '', body);
    if (asked.deployment.length > LONGEST_DEPLOYMENT_NAME) {
      body.free();
      return refused(req, res, refusals.LONG_DEPLOYMENT_NAME, client);
    }
    const caller = new AbortController();
    const onClose = (): void => {
      if (!res.writableFinished) caller.abort();
    };
    res.on('close', onClose);
    deps.active.add(caller);
    const call: Call = { id: deps.nextId(), req, res, asked, signal: caller.signal, body };
    const course = new Course();
    try {
      const ending = await serve(call, course);
      const reasons = course.reasons();
      return {
        kind: 'request-finished',
        requestId: call.id,
        client,
        ...targetOf(req),
        operation: operationLabel(asked.operation),
        deployment: asked.deployment,
        attempts: course.attempts,
        trace: course.trace(),
        ...(reasons === undefined ? {} : { reasons }),
        durationMs: clock() - startedAt,
        ...ending,
      };
    } finally {
      body.free();
      deps.active.delete(caller);
      res.off('close', onClose);
    }
  }

  /** The loop. Each backend is asked at most once; whoever answers first is relayed. */
  async function serve(call: Call, course: Course): Promise<Ending> {
    for (;;) {
      const { tried } = course;
      const got = pool.acquire({ deployment: call.asked.deployment, tried, tokens: 0 }, clock());
      if (got.kind === 'wait') return refuseCall(call, course, { why: 'throttled', recoversAt: got.until });
      if (got.kind === 'none') return refuseCall(call, course, got);
      const { lease } = got;
      const { peeked, answer } = await settlingBugs(lease, tryOnce(call, course, lease));
      if (peeked.kind === 'commit' && answer !== undefined) return deliver(call, course, lease, answer, peeked);
      if (peeked.kind === 'commit') throw new Error('committed to no answer');
      end(call, lease, peeked.outcome);
      if (peeked.outcome.kind === 'abandoned') return leave(call, course);
      course.add(lease, peeked.outcome, peeked.kept);
      // It may have been carried out: this failure is the answer, whatever others refused before.
      if (decide(peeked.outcome, call.asked.creates) === 'deliver') return refuseUnclear(call, course);
    }
  }

  /** One backend's turn: its credential, the attempt, and a look at the answer's beginning. */
  async function tryOnce(
    call: Call,
    course: Course,
    lease: Lease,
  ): Promise<{ readonly peeked: Peeked | PeekFailed; readonly answer?: Answer }> {
    const { asked, req, signal } = call;
    const target = deps.targets.get(lease.backend.name);
    if (target === undefined) throw new Error(`no target for backend ${lease.backend.name}`);
    const credential = credentialFor(lease);
    const given = credential instanceof Promise ? await untilAborted(credential, signal) : credential;
    if (given === 'aborted') return { peeked: failed({ kind: 'abandoned' }) };
    if (given === undefined) return { peeked: failed({ kind: 'failed', cause: 'credential' }) };
    const body = asked.upstreamBody(lease.deployment);
    const path = asked.upstreamPath(lease.deployment);
    const method = req.method ?? 'GET';
    const bodyLength =
      body.length > 0 || method === 'POST' || method === 'PUT' || method === 'PATCH' ? body.length : undefined;
    for (let fresh = asked.creates; ; fresh = true) {
      course.attempts += 1;
      announce(call, course, lease, path);
      const headers = upstreamHeaders(req.headers, target.host, given, bodyLength);
      const forwarded = await deps.forward({ target, method, path, headers, body, fresh }, signal);
      if (forwarded.kind === 'failed') {
        if (decide(forwarded.outcome, asked.creates) === 'again') continue;
        return { peeked: forwarded };
      }
      const { answer } = forwarded;
      const quota = parseQuota(answer.header);
      pool.observe(lease, quota === undefined ? { kind: 'headers' } : { kind: 'headers', quota }, clock());
      return { peeked: await peek(answer, peekLimits, signal, deps.wallClockMs), answer };
    }
  }

  function announce(call: Call, course: Course, lease: Lease, path: string): void {
    observe({
      kind: 'attempt-started',
      requestId: call.id,
      backend: lease.backend.name,
      url: lease.backend.origin + pathOf(path),
      deployment: lease.deployment,
      attempt: course.attempts,
      probe: lease.probe,
    });
  }

  /** A key at once, a token when it is there; undefined when the identity gives none now. */
  function credentialFor(lease: Lease): Credential | Promise<Credential | undefined> {
    const given = deps.backendAuth.credential(lease.backend);
    if (!(given instanceof Promise)) return given;
    return given.catch((error: unknown) => {
      if (!(error instanceof TokenError)) throw error;
      observe({ kind: 'notice', level: 'warning', text: `${lease.backend.name} was not asked: ${error.message}` });
      return undefined;
    });
  }

  /** The answer is this one: nothing can be failed over from here on. */
  async function deliver(call: Call, course: Course, lease: Lease, answer: Answer, peeked: Peeked): Promise<Ending> {
    const { status, rawHeaders, header, body } = answer;
    const backend = lease.backend.name;
    call.body.free();
    pool.observe(lease, { kind: 'first-content' }, clock());
    pool.conclude(course.failed500(), status < 400, clock());
    const relayed: Relayed = { status, rawHeaders, header, held: peeked.held, ...(peeked.isWhole ? {} : { body }) };
    const outcome = await settlingBugs(lease, relayTo(call, course.headers(backend, status), relayed));
    end(call, lease, outcome);
    return { ending: endingOf(outcome), status, backend, trace: course.trace(backend, status) };
  }

  /** A creation of which nobody knows whether it was carried out: the client must not repeat it by itself. */
  function refuseUnclear(call: Call, course: Course): Promise<Ending> {
    return refuseCall(call, course, { why: 'failing' }, course.failures.slice(-1));
  }

  /** Nobody answered: the honest refusal, with a backend's own words where it had any. */
  async function refuseCall(
    call: Call,
    course: Course,
    none: { readonly why: NoneReason; readonly recoversAt?: number },
    failures = course.failures,
  ): Promise<Ending> {
    const now = clock();
    pool.conclude(course.failed500(), false, now);
    if (call.signal.aborted) return leave(call, course);
    const refusal = refuse(failures, none, now);
    const isUnclear = failures !== course.failures;
    if (refusal.kind === 'verbatim') {
      const failure = failures[refusal.index];
      if (failure?.kept === undefined) return tell(call, course, refusals.INTERNAL);
      return passOn(call, course, failure.lease, failure.kept, isUnclear ? NO_RETRY : NONE);
    }
    const error = refusals.refusalError(refusal, call.asked.deployment, now, deps.random);
    return tell(call, course, isUnclear ? refusals.asUnclear(error) : error);
  }

  /** The trace tells of the attempt already. */
  async function passOn(
    call: Call,
    course: Course,
    lease: Lease,
    kept: KeptAnswer,
    more: readonly string[],
  ): Promise<Ending> {
    const { status, rawHeaders, bytes } = kept;
    const own = [...course.headers(), 'x-balancer-backend', lease.backend.name, ...more];
    const outcome = await relayTo(call, own, { status, rawHeaders, header: () => undefined, held: [bytes] });
    return { ending: endingOf(outcome), status, backend: lease.backend.name };
  }

  function tell(call: Call, course: Course, error: ProxyError): Ending {
    sendError(call.res, error, [...course.headers(), ...closing()]);
    return { ending: 'refused', status: ERROR_CODES[error.code].status, code: error.code };
  }

  /** The caller left, or the drain ran out before there was an answer. */
  function leave(call: Call, course: Course): Ending {
    const reason: unknown = call.signal.reason;
    if (reason instanceof StreamEnd) return tell(call, course, { code: reason.code, message: reason.message });
    return ABANDONED;
  }

  function relayTo(call: Call, own: readonly string[], relayed: Relayed): Promise<Outcome> {
    return relay(relayed, [...own, ...closing()], call.res, relayLimits, call.signal, clock);
  }

  function closing(): readonly string[] {
    return deps.isDraining() ? CONNECTION_CLOSE : NONE;
  }

  function end(call: Call, lease: Lease, outcome: Outcome): void {
    const now = clock();
    pool.settle(lease, outcome, now);
    const { backend, deployment, startedAt } = lease;
    const requestId = call.id;
    const durationMs = now - startedAt;
    observe({ kind: 'attempt-ended', requestId, backend: backend.name, deployment, outcome, durationMs });
  }

  /** A bug must not leave a lease open: the in-flight count would stay wrong for ever. */
  async function settlingBugs<T>(lease: Lease, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (bug) {
      pool.settle(lease, { kind: 'abandoned' }, clock());
      throw bug;
    }
  }

  return handle;
}

const NONE: readonly string[] = [];
/** 499 is what nginx logs for a caller who left; nobody receives it. */
const ABANDONED: Ending = { ending: 'abandoned', status: 499 };
const NO_RETRY: readonly string[] = ['x-should-retry', 'false'];
const CONNECTION_CLOSE: readonly string[] = ['connection', 'close'];

function endingOf(outcome: Outcome): Ending['ending'] {
  if (outcome.kind === 'abandoned') return 'abandoned';
  return outcome.kind === 'broken' ? 'broken' : 'delivered';
}

function failed(outcome: Outcome): Failed {
  return { kind: 'failed', outcome };
}

/** For a caller that sends its body only when it is wanted. */
function goOn(req: IncomingMessage, res: ServerResponse): void {
  if (req.headers.expect !== undefined && req.httpVersion === '1.1') res.writeContinue();
}

/** For events: no query, and no authority, which may hold a password. */
function targetOf(req: IncomingMessage): { readonly method: string; readonly path: string } {
  return { method: req.method ?? 'GET', path: pathOf(req.url ?? '/') };
}
