/**
 * The failover loop: a request that came in by the door is given to one backend after another until one answers.
 * Decisions are the pool's and failover.ts's; this file is their order.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decide, refuse, type NoneReason } from '../balancer/failover.ts';
import type { Outcome, Usage } from '../balancer/outcome.ts';
import type { Acquired, Lease } from '../balancer/pool.ts';
import { parseQuota } from '../balancer/quota.ts';
import { TokenError } from '../auth/token-source.ts';
import type { ProxyEvent } from '../telemetry/events.ts';
import { Course } from './course.ts';
import { ABANDONED, createDoor, targetOf, type Entered } from './door.ts';
import type { Answer, Failed } from './forward.ts';
import { operationLabel, pathOf } from './front-door.ts';
import type { HandlerDeps } from './handler-deps.ts';
import { upstreamHeaders, type Credential } from './headers.ts';
import { acquireLater, acquireNow } from './lease-or-wait.ts';
import { peek, type KeptAnswer, type Peeked, type PeekFailed } from './peek.ts';
import { ERROR_CODES, type ProxyError } from './proxy-error.ts';
import * as refusals from './refusals.ts';
import { relay, StreamEnd, type Relayed } from './relay.ts';
import { sendError } from './reply.ts';
import { tokensOfText } from './token-estimate.ts';
import { untilAborted } from './until-aborted.ts';
import { createUsageTap } from './usage-tap.ts';

export type ProxyHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/** One request that was let in. */
interface Call extends Entered {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly signal: AbortSignal;
  /** What a client with limits is told of them, as name, value, name, value, … */
  readonly shown: readonly string[];
}

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;
/** How a request ended, for its last event. `trace`: with a last step that the course does not have. */
type Ending = Pick<Finished, 'ending' | 'status' | 'backend' | 'code' | 'usage'> & {
  readonly trace?: string;
  /** Of the text that a stream gave. */
  readonly textBytes?: number;
};

export function createProxyHandler(deps: HandlerDeps): ProxyHandler {
  const { pool, clock, observe, limits } = deps;
  const enter = createDoor(deps);
  const peekLimits = { ...limits, streamSilenceMs: limits.sseKeepAliveMs };
  const relayLimits = { idleMs: limits.idleMs, keepAliveMs: limits.sseKeepAliveMs };

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const entered = await enter(req, res);
    if (entered.kind === 'turned-away') return observe(entered.event);
    const caller = new AbortController();
    const onClose = (): void => {
      if (!res.writableFinished) caller.abort();
    };
    res.on('close', onClose);
    // It may have closed while the door waited for something else.
    if (req.socket.destroyed) caller.abort();
    deps.active.add(caller);
    const call: Call = {
      ...entered,
      req,
      res,
      signal: caller.signal,
      shown: refusals.limitHeaders(entered.pass?.shown),
    };
    const course = new Course();
    let spent: number | undefined = 0;
    let ending: Ending = FAILED_ON_A_BUG;
    try {
      ending = await serve(call, course);
      spent = tokensSpent(call, course, ending);
    } finally {
      deps.active.delete(caller);
      res.off('close', onClose);
      await entered.leave(spent);
      // Told when all is given back, so that whoever hears of it finds it so.
      observe(finishedEvent(call, course, ending));
    }
  }

  function finishedEvent({ id, req, asked, client, startedAt }: Call, course: Course, ending: Ending): ProxyEvent {
    const reasons = course.reasons();
    const { textBytes: _, ...told } = ending;
    return {
      kind: 'request-finished',
      requestId: id,
      client,
      ...targetOf(req),
      operation: operationLabel(asked.operation),
      deployment: asked.deployment,
      attempts: course.attempts,
      trace: course.trace(),
      ...(reasons === undefined ? {} : { reasons }),
      durationMs: clock() - startedAt,
      ...told,
    };
  }

  /** What the request came to; undefined when nobody knows. */
  function tokensSpent(call: Call, { isAsking }: Course, ending: Ending): number | undefined {
    const { usage, status, textBytes } = ending;
    if (usage !== undefined) {
      deps.estimator.learn(call.client, call.asked.deployment, usage);
      return usage.promptTokens + usage.completionTokens;
    }
    if (call.pass?.countsTokens !== true) return undefined;
    const seen = textBytes === undefined ? 0 : promptTokensOf(call) + tokensOfText(textBytes);
    // A backend's quota was charged all that the request allowed: who leaves must get neither that nor the text for nothing.
    if (ending.ending === 'abandoned' && isAsking) return Math.max(call.charged, seen);
    if (status >= 400) return 0;
    return textBytes === undefined ? undefined : seen;
  }

  /** The loop. Each backend is asked at most once; whoever answers first is relayed. */
  async function serve(call: Call, course: Course): Promise<Ending> {
    const { asked, maxHoldMs, signal } = call;
    // One time for all its waiting; absent when it may not wait, or was throttled again after waiting.
    let holdUntil = maxHoldMs > 0 ? Number.POSITIVE_INFINITY : undefined;
    for (;;) {
      const until = holdUntil === undefined ? undefined : Math.min(holdUntil, clock() + maxHoldMs);
      let got: Acquired | undefined = acquireNow(deps, asked.deployment, course, until);
      if (got.kind === 'wait' && until !== undefined) {
        holdUntil = until;
        got = await acquireLater(deps, asked.deployment, course, { until: got.until, deadline: until, signal });
      }
      if (got === undefined) return leave(call, course);
      if (got.kind === 'wait') return refuseCall(call, course, { why: 'throttled', recoversAt: got.until });
      if (got.kind === 'none') return refuseCall(call, course, got);
      const { lease } = got;
      const { peeked, answer } = await settlingBugs(lease, tryOnce(call, course, lease));
      if (peeked.kind === 'commit' && answer !== undefined) return deliver(call, course, lease, answer, peeked);
      if (peeked.kind === 'commit') throw new Error('committed to no answer');
      end(call, lease, peeked.outcome);
      if (peeked.outcome.kind === 'abandoned') return leave(call, course);
      course.isAsking = false;
      course.add(lease, peeked.outcome, peeked.kept);
      if (peeked.outcome.kind === 'throttled' && holdUntil !== Number.POSITIVE_INFINITY) holdUntil = undefined;
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
      course.isAsking = true;
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
    deps.hold.wake();
    pool.conclude(course.failed500(), status < 400, clock());
    const tap = call.asked.isCounted ? createUsageTap(header, call.pass?.countsTokens === true) : undefined;
    const relayed: Relayed = {
      status,
      rawHeaders,
      header,
      held: peeked.held,
      ...(peeked.isWhole ? {} : { body }),
      ...(tap === undefined ? {} : { tap }),
    };
    const outcome = await settlingBugs(lease, relayTo(call, course.headers(backend, status), relayed));
    const usage = tap?.usage();
    end(call, lease, withUsage(outcome, usage));
    const trace = course.trace(backend, status);
    const how = howItEnded(outcome, call.signal);
    const ending = { ...how, status, backend, trace, ...(usage === undefined ? {} : { usage }) };
    return tap?.textBytes === undefined ? ending : { ...ending, textBytes: tap.textBytes };
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
    unclear?: Course['failures'],
  ): Promise<Ending> {
    const now = clock();
    pool.conclude(course.failed500(), false, now);
    if (call.signal.aborted) return leave(call, course);
    const failures = unclear ?? course.latest();
    const refusal = refuse(failures, none, now);
    const isUnclear = unclear !== undefined;
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
    return { ...howItEnded(outcome, call.signal), status, backend: lease.backend.name };
  }

  function tell(call: Call, course: Course, error: ProxyError): Ending {
    sendError(call.res, error, [...course.headers(), ...call.shown, ...closing()]);
    return { ending: 'refused', status: ERROR_CODES[error.code].status, code: error.code };
  }

  /** The caller left, or the drain ran out before there was an answer. */
  function leave(call: Call, course: Course): Ending {
    const reason: unknown = call.signal.reason;
    if (reason instanceof StreamEnd) return tell(call, course, { code: reason.code, message: reason.message });
    return ABANDONED;
  }

  function relayTo(call: Call, own: readonly string[], relayed: Relayed): Promise<Outcome> {
    return relay(relayed, [...own, ...call.shown, ...closing()], call.res, relayLimits, call.signal, clock);
  }

  function closing(): readonly string[] {
    return deps.isDraining() ? CONNECTION_CLOSE : NONE;
  }

  function end(call: Call, lease: Lease, outcome: Outcome): void {
    const now = clock();
    pool.settle(lease, outcome, now);
    deps.hold.wake();
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
const FAILED_ON_A_BUG: Ending = { ending: 'refused', status: 500, code: 'internal_error' };
const BREAKS = { reset: 'stream_broken', idle: 'stream_idle' } as const;
const NO_RETRY: readonly string[] = ['x-should-retry', 'false'];
const CONNECTION_CLOSE: readonly string[] = ['connection', 'close'];

/** With the code of the in-band error, where the caller was told one. */
function howItEnded(outcome: Outcome, { reason }: AbortSignal): Pick<Ending, 'ending' | 'code'> {
  if (outcome.kind === 'broken') return { ending: 'broken', code: BREAKS[outcome.cause] };
  if (outcome.kind !== 'abandoned') return { ending: 'delivered' };
  return reason instanceof StreamEnd ? { ending: 'broken', code: reason.code } : { ending: 'abandoned' };
}

function failed(outcome: Outcome): Failed {
  return { kind: 'failed', outcome };
}

function withUsage(outcome: Outcome, usage: Usage | undefined): Outcome {
  if (usage === undefined || (outcome.kind !== 'served' && outcome.kind !== 'abandoned')) return outcome;
  return { ...outcome, usage };
}

function promptTokensOf({ asked }: Entered): number {
  return asked.cost()?.promptTokens ?? 0;
}
