/**
 * One backend's turn: its credential, the attempt (a second one when a kept connection was stale, or the backend does not
 * know what we asked besides), and a look at the answer's beginning. What follows from it is the handler's to say.
 */
import type { IncomingMessage } from 'node:http';
import { TokenError } from '../auth/token-source.ts';
import { decide } from '../balancer/failover.ts';
import type { Outcome } from '../balancer/outcome.ts';
import type { Lease } from '../balancer/pool.ts';
import type { Course } from './course.ts';
import type { Entered } from './door.ts';
import { FirstContentLimit } from './first-content.ts';
import type { Answer, Attempt as Sent, Failed } from './forward.ts';
import { operationLabel, pathOf } from './front-door.ts';
import type { HandlerDeps } from './handler-deps.ts';
import { headersSeen, upstreamHeaders, type Credential } from './headers.ts';
import { isUsageRefused, UsageRefusals, type UsageAsking } from './include-usage.ts';
import type { Asking } from './lease-or-wait.ts';
import { isStream, type Opening } from './opening.ts';
import { peek, textOf, type Peeked, type PeekFailed } from './peek.ts';
import { tellTrace } from './trace-context.ts';
import { untilAborted } from './until-aborted.ts';

/** What an attempt needs to know of the request. */
export interface Attempted extends Entered {
  readonly req: IncomingMessage;
  readonly signal: AbortSignal;
  readonly course: Course;
  readonly opening: Opening;
}

/** `answer` is there when `peeked` says that it is the one. */
export interface Attempt {
  readonly peeked: Peeked | PeekFailed;
  readonly answer?: Answer;
  /** It was asked for its usage, which the caller did not do. */
  readonly hidesUsage?: boolean;
}

type AttemptOne = (call: Attempted, lease: Lease, asking: Asking) => Promise<Attempt>;

export function createAttempt(deps: HandlerDeps): AttemptOne {
  const { pool, clock, observe, limits } = deps;
  const usageRefusals = new UsageRefusals();

  /** One backend's turn: its credential, the attempt, and a look at the answer's beginning. */
  async function attempt(call: Attempted, lease: Lease, asking: Asking): Promise<Attempt> {
    const { asked, course, req, signal } = call;
    const target = deps.targets.get(lease.backend.name);
    if (target === undefined) throw new Error(`no target for backend ${lease.backend.name}`);
    const credential = credentialFor(lease);
    const given = credential instanceof Promise ? await untilAborted(credential, signal) : credential;
    if (given === 'aborted') return { peeked: failed({ kind: 'abandoned' }) };
    if (given === undefined) return { peeked: failed({ kind: 'failed', cause: 'credential' }) };
    let usageAsking = usageAskingOf(call, lease);
    /** What was left out when it was asked again. */
    let refused: UsageAsking | undefined;
    const path = asked.upstreamPath(lease.deployment);
    const method = req.method ?? 'GET';
    for (let fresh = asked.creates; ; fresh = true) {
      const began = clock();
      course.attempts += 1;
      course.isAsking = true;
      const body = asked.upstreamBody(lease.deployment, usageAsking);
      const headers = upstreamHeaders(req.headers, target.host, given, lengthOf(body, method), call.id);
      if (call.trace !== undefined && deps.tracing !== undefined) {
        course.span = deps.tracing.child(call.trace);
        tellTrace(headers, call.trace, course.span);
      }
      announce(call, lease, path);
      const { peeked, answer } = await exchange(call, lease, asking, { target, method, path, headers, body, fresh });
      if (answer === undefined) {
        if (peeked.kind !== 'failed' || decide(peeked.outcome, asked.creates) !== 'again') return { peeked };
        failedAgain(call, lease, peeked.outcome, clock() - began);
        continue;
      }
      if (usageAsking !== undefined && refusesUsage(answer, peeked)) {
        failedAgain(call, lease, { kind: 'refused', status: answer.status }, clock() - began);
        course.askedAgain(lease.backend.name, answer.status);
        refused = usageAsking;
        usageAsking = undefined;
        continue;
      }
      if (refused !== undefined && peeked.kind === 'commit' && answer.status < 400) {
        usageRefusals.add(lease.backend.name, lease.deployment, refused.version, clock());
      }
      return { peeked, answer, hidesUsage: usageAsking !== undefined };
    }
  }

  /** What is sent, and as much of what comes back as says what it is. */
  async function exchange(call: Attempted, lease: Lease, asking: Asking, sent: Sent): Promise<Attempt> {
    const { course, opening, signal } = call;
    const limit = firstContentLimit(call, lease, asking);
    const late = limit === undefined ? {} : { late: limit.signal };
    try {
      const forwarded = await deps.forward({ ...sent, ...late }, signal);
      if (forwarded.kind === 'failed') return { peeked: forwarded };
      const { answer } = forwarded;
      pool.observe(lease, headersSeen(answer), clock());
      if (isStream(answer)) opening.arm();
      return { answer, peeked: await peek(answer, { ...limits, ...late }, signal, deps.wallClockMs) };
    } finally {
      if (limit?.signal.aborted === true) course.slow.add(lease.backend.name);
      limit?.cancel();
    }
  }

  /** What creates something is not asked of another backend, however long it takes. */
  function firstContentLimit(
    { asked, course }: Attempted,
    lease: Lease,
    asking: Asking,
  ): FirstContentLimit | undefined {
    if (limits.firstTokenMs === undefined || !asked.stream || asked.creates) return undefined;
    const { tried, worseThan } = course;
    return new FirstContentLimit(limits.firstTokenMs, () =>
      pool.hasOther(lease, { ...asking, tried, worseThan }, clock()),
    );
  }

  function usageAskingOf({ asked }: Attempted, { backend, deployment }: Lease): UsageAsking | undefined {
    const asking = limits.asksForUsage ? asked.usageAsking() : undefined;
    if (asking === undefined) return undefined;
    return usageRefusals.has(backend.name, deployment, asking.version, clock()) ? undefined : asking;
  }

  function announce({ id, course }: Attempted, lease: Lease, path: string): void {
    const { spilledFrom } = lease;
    observe({
      kind: 'attempt-started',
      requestId: id,
      backend: lease.backend.name,
      url: lease.backend.origin + pathOf(path),
      deployment: lease.deployment,
      attempt: course.attempts,
      probe: lease.probe,
      ...(spilledFrom === undefined ? {} : { spilledFrom }),
      ...(course.span === undefined ? {} : { span: course.span }),
    });
  }

  /** The same backend is asked once more; no fault of its own. */
  function failedAgain({ id, asked, course }: Attempted, lease: Lease, outcome: Outcome, durationMs: number): void {
    const { backend, deployment } = lease;
    observe({
      kind: 'attempt-ended',
      requestId: id,
      backend: backend.name,
      deployment,
      operation: operationLabel(asked.operation),
      outcome,
      durationMs,
      ...(course.span === undefined ? {} : { span: course.span }),
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

  return attempt;
}

function refusesUsage({ status, header }: Answer, peeked: Peeked | PeekFailed): boolean {
  if (status < 400 || peeked.kind !== 'commit' || !peeked.isWhole) return false;
  return isUsageRefused(status, textOf(Buffer.concat(peeked.held), header));
}

function lengthOf(body: Buffer, method: string): number | undefined {
  const hasBody = body.length > 0 || method === 'POST' || method === 'PUT' || method === 'PATCH';
  return hasBody ? body.length : undefined;
}

function failed(outcome: Outcome): Failed {
  return { kind: 'failed', outcome };
}
