/**
 * The failover loop: a request that came in by the door is given to one backend after another until one answers.
 * Decisions are the pool's and failover.ts's; this file is their order.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decide, refuse, type None } from '../balancer/failover.ts';
import type { Outcome } from '../balancer/outcome.ts';
import type { Lease } from '../balancer/pool.ts';
import { createAttempt, type Attempted } from './attempt.ts';
import { Course } from './course.ts';
import { ABANDONED, createDoor, type Entered } from './door.ts';
import {
  FAILED_ON_A_BUG,
  finishedEvent,
  howItEnded,
  tokensGuessed,
  usageGuessed,
  withUsage,
  type Ending,
} from './ending.ts';
import { headerIn, type Answer } from './forward.ts';
import { operationLabel } from './front-door.ts';
import type { HandlerDeps } from './handler-deps.ts';
import { spilloverOf } from './headers.ts';
import { breakOff, breakOffWith } from './in-band.ts';
import { nextLease, Patience } from './lease-or-wait.ts';
import { Opening, isStream, isStreamed } from './opening.ts';
import { textOf, type KeptAnswer, type Peeked } from './peek.ts';
import { ERROR_CODES, errorEvent, RequestBug, type ProxyError } from './proxy-error.ts';
import * as refusals from './refusals.ts';
import { relay, StreamEnd, type Relayed } from './relay.ts';
import { sendError } from './reply.ts';
import { createUsageTap, type UsageTap } from './usage-tap.ts';
import type { SpanIds } from '../telemetry/events.ts';

export type ProxyHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/** One request that was let in, with all that its answer needs. */
interface Call extends Attempted {
  readonly res: ServerResponse;
  /** What a client with limits is told of them, as name, value, name, value, … */
  readonly shown: readonly string[];
}

export function createProxyHandler(deps: HandlerDeps): ProxyHandler {
  const { pool, clock, observe, limits } = deps;
  const enter = createDoor(deps);
  const attempt = createAttempt(deps);
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
    const call = callOf(entered, req, res, caller.signal);
    const { course, opening } = call;
    let spent: number | undefined = 0;
    let ending: Ending = FAILED_ON_A_BUG;
    try {
      ending = await serve(call);
      spent = tokensSpent(call, ending);
    } catch (bug) {
      throw new RequestBug(call.id, bug);
    } finally {
      opening.close();
      deps.active.delete(caller);
      res.off('close', onClose);
      await entered.leave(spent);
      // Told when all is given back, so that whoever hears of it finds it so.
      observe(finishedEvent(call, course, ending, clock()));
    }
  }

  function callOf(entered: Entered, req: IncomingMessage, res: ServerResponse, signal: AbortSignal): Call {
    const course = new Course(entered.id);
    const shown = refusals.limitHeaders(entered.pass?.shown);
    const opening = new Opening(res, limits.sseKeepAliveMs, () => {
      course.opened(clock() - entered.startedAt);
      return [...course.headers(), ...shown, ...closing()];
    });
    return { ...entered, req, res, signal, course, opening, shown };
  }

  function tokensSpent(call: Call, ending: Ending): number | undefined {
    const { usage } = ending;
    if (usage === undefined || usage.isEstimated === true) return tokensGuessed(call, call.course, ending);
    deps.estimator.learn(call.client, call.asked.deployment, usage);
    return usage.promptTokens + usage.completionTokens;
  }

  /** The loop. Each backend is asked at most once in a pass; whoever answers first is relayed. */
  async function serve(call: Call): Promise<Ending> {
    const { asked, course, longestWaitMs, opening, signal } = call;
    const patience = new Patience({
      holdMs: Math.min(limits.maxHoldMs, longestWaitMs),
      priorityMs: Math.min(limits.priorityWaitMs, longestWaitMs),
    });
    const { deployment } = asked;
    const need = deps.estimator.need(call.client, deployment, asked.isCounted ? asked.cost() : undefined);
    const affinityKey = asked.isCounted ? asked.affinityKey(limits.affinity) : undefined;
    const asking = { deployment, ...need, ...(affinityKey === undefined ? {} : { affinityKey }) };
    if (isStreamed(asked)) opening.arm();
    for (;;) {
      const found = nextLease(deps, asking, course, patience, signal);
      const got = found instanceof Promise ? await found : found;
      if (got === undefined) return leave(call);
      if (got.kind !== 'lease' && course.takeSlow()) continue;
      if (got.kind === 'wait') return refuseCall(call, { why: 'throttled', recoversAt: got.until });
      if (got.kind === 'none') return refuseCall(call, got);
      const { lease } = got;
      const { peeked, answer, hidesUsage = false } = await settlingBugs(lease, attempt(call, lease, asking));
      if (peeked.kind === 'commit' && answer !== undefined) return deliver(call, lease, answer, peeked, hidesUsage);
      if (peeked.kind === 'commit') throw new Error('committed to no answer');
      end(call, lease, peeked.outcome);
      if (peeked.outcome.kind === 'abandoned') return leave(call, lease);
      course.isAsking = false;
      course.add(lease, peeked.outcome, peeked.kept);
      if (peeked.outcome.kind === 'throttled') patience.throttled();
      // It may have been carried out: this failure is the answer, whatever others refused before.
      if (decide(peeked.outcome, asked.creates) === 'deliver') return refuseUnclear(call);
    }
  }

  /** The answer is this one: nothing can be failed over from here on. */
  async function deliver(
    call: Call,
    lease: Lease,
    answer: Answer,
    peeked: Peeked,
    hidesUsage: boolean,
  ): Promise<Ending> {
    const { status, rawHeaders, header, body } = answer;
    const { asked, course, opening, signal } = call;
    const { spilledFrom, backend } = lease;
    opening.close();
    call.body.free();
    const now = clock();
    if (isStream(answer)) course.firstContentAt = now;
    pool.observe(lease, { kind: 'first-content' }, now);
    deps.hold.wake();
    pool.conclude(course.failed500(), status < 400, now);
    const tap = asked.isCounted ? createUsageTap(header) : undefined;
    const relayed: Relayed = {
      status,
      rawHeaders,
      header,
      held: peeked.held,
      hidesUsage,
      isBegun: opening.isOpen,
      ...(peeked.isWhole ? {} : { body }),
      ...(tap === undefined ? {} : { tap }),
    };
    const told = opening.isOpen && !isStream(answer) ? tellInBand(call, answer, peeked, tap) : undefined;
    const outcome =
      told !== undefined
        ? told.outcome
        : await settlingBugs(lease, relayTo(call, course.headers(backend.name, status), relayed));
    const said = tap?.usage();
    end(call, lease, withUsage(outcome, said));
    const usage = said ?? (status < 400 ? usageGuessed(asked, outcome, tap) : undefined);
    const spillover = spilloverOf(header);
    return {
      ...(told?.ending ?? howItEnded(outcome, signal)),
      status: opening.isOpen ? 200 : status,
      backend: backend.name,
      trace: course.trace(backend.name, status),
      ...(usage === undefined ? {} : { usage }),
      ...(tap?.textBytes === undefined ? {} : { textBytes: tap.textBytes }),
      ...(spilledFrom === undefined ? {} : { spilledFrom }),
      ...(spillover === undefined ? {} : { spillover }),
    };
  }

  /** The caller's stream has begun, and this is none. */
  function tellInBand(
    { course, res }: Call,
    { status, body, header }: Answer,
    { held, isWhole }: Peeked,
    tap: UsageTap | undefined,
  ): { readonly outcome: Outcome; readonly ending: Pick<Ending, 'ending' | 'code'> } {
    const bytes = Buffer.concat(held);
    if (!isWhole) body.destroy();
    tap?.take(bytes, true);
    if (status >= 400) course.isAsking = false; // It was refused, and comes to nothing.
    const outcome: Outcome = { kind: status < 400 ? 'served' : 'refused', status };
    return { outcome, ending: breakOffWith(res, status, isWhole ? textOf(bytes, header) : '') };
  }

  /** A creation of which nobody knows whether it was carried out: the client must not repeat it by itself. */
  function refuseUnclear(call: Call): Promise<Ending> {
    return refuseCall(call, { why: 'failing' }, call.course.failures.slice(-1));
  }

  /** Nobody answered: the honest refusal, with a backend's own words where it had any. */
  async function refuseCall(call: Call, none: None, unclear?: Course['failures']): Promise<Ending> {
    const now = clock();
    const { course } = call;
    if (call.signal.aborted) return leave(call);
    const failures = unclear ?? course.latest();
    const refusal = refuse(failures, none, now);
    const isUnclear = unclear !== undefined;
    if (refusal.kind === 'verbatim') {
      const failure = failures[refusal.index];
      if (failure?.kept === undefined) return tell(call, refusals.INTERNAL);
      return passOn(call, failure.lease, failure.kept, isUnclear ? NO_RETRY : NONE);
    }
    const error = refusals.refusalError(refusal, call.asked.deployment, now, deps.random);
    return tell(call, isUnclear ? refusals.asUnclear(error) : error);
  }

  /** The trace tells of the attempt already. */
  async function passOn(call: Call, lease: Lease, kept: KeptAnswer, more: readonly string[]): Promise<Ending> {
    const { status, rawHeaders, bytes } = kept;
    const { course, opening, res, signal } = call;
    const { name } = lease.backend;
    opening.close();
    if (opening.isOpen) {
      return { ...breakOffWith(res, status, textOf(bytes, headerIn(rawHeaders))), status: 200, backend: name };
    }
    const own = [...course.headers(), 'x-balancer-backend', name, ...more];
    const outcome = await relayTo(call, own, { status, rawHeaders, header: () => undefined, held: [bytes] });
    return { ...howItEnded(outcome, signal), status, backend: name };
  }

  function tell({ course, opening, res, shown }: Call, error: ProxyError): Ending {
    const { code } = error;
    opening.close();
    if (opening.isOpen) {
      breakOff(res, errorEvent(error));
      return { ending: 'broken', status: 200, code };
    }
    sendError(res, error, [...course.headers(), ...shown, ...closing()]);
    return { ending: 'refused', status: ERROR_CODES[code].status, code };
  }

  /** The caller left, or the drain ran out before there was an answer. */
  function leave(call: Call, lease?: Lease): Ending {
    const reason: unknown = call.signal.reason;
    const asked = lease === undefined ? {} : unanswered(call, lease);
    if (reason instanceof StreamEnd) return { ...tell(call, { code: reason.code, message: reason.message }), ...asked };
    return { ...ABANDONED, ...asked };
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
    const { firstContentAt } = call.course;
    const span = spanOf(call);
    observe({
      kind: 'attempt-ended',
      requestId: call.id,
      backend: backend.name,
      deployment,
      operation: operationLabel(call.asked.operation),
      outcome,
      ...(firstContentAt === undefined ? {} : { firstContentMs: firstContentAt - startedAt }),
      durationMs: now - startedAt,
      ...(span === undefined ? {} : { span }),
    });
  }

  /** Of the attempt that ends; one of its own when nothing was sent, for want of a credential. */
  function spanOf({ course, trace }: Call): SpanIds | undefined {
    const { span } = course;
    course.span = undefined;
    return span ?? (trace === undefined ? undefined : deps.tracing?.child(trace));
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

/** It was being asked when its answer was not wanted any more: it has the prompt, and nobody says what it made of it. */
function unanswered({ asked, course }: Call, { backend }: Lease): Pick<Ending, 'backend' | 'usage'> {
  if (!course.isAsking) return {};
  const usage = usageGuessed(asked, { kind: 'abandoned' });
  return { backend: backend.name, ...(usage === undefined ? {} : { usage }) };
}

const NONE: readonly string[] = [];
const NO_RETRY: readonly string[] = ['x-should-retry', 'false'];
const CONNECTION_CLOSE: readonly string[] = ['connection', 'close'];
