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
import type { Answer, Failed } from './forward.ts';
import { operationLabel, pathOf } from './front-door.ts';
import type { HandlerDeps } from './handler-deps.ts';
import { headersSeen, upstreamHeaders, type Credential } from './headers.ts';
import { isUsageRefused, UsageRefusals, type UsageAsking } from './include-usage.ts';
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

export function createAttempt(deps: HandlerDeps): (call: Attempted, lease: Lease) => Promise<Attempt> {
  const { pool, clock, observe, limits } = deps;
  const usageRefusals = new UsageRefusals();

  /** One backend's turn: its credential, the attempt, and a look at the answer's beginning. */
  async function attempt(call: Attempted, lease: Lease): Promise<Attempt> {
    const { asked, course, req, signal } = call;
    const target = deps.targets.get(lease.backend.name);
    if (target === undefined) throw new Error(`no target for backend ${lease.backend.name}`);
    const credential = credentialFor(lease);
    const given = credential instanceof Promise ? await untilAborted(credential, signal) : credential;
    if (given === 'aborted') return { peeked: failed({ kind: 'abandoned' }) };
    if (given === undefined) return { peeked: failed({ kind: 'failed', cause: 'credential' }) };
    let asking = usageAskingOf(call, lease);
    /** What was left out when it was asked again. */
    let refused: UsageAsking | undefined;
    const path = asked.upstreamPath(lease.deployment);
    const method = req.method ?? 'GET';
    const firstContentMs = mostToFirstContent(call, lease);
    const late = firstContentMs === undefined ? {} : { firstContentMs };
    for (let fresh = asked.creates; ; fresh = true) {
      const began = clock();
      course.attempts += 1;
      course.isAsking = true;
      const body = asked.upstreamBody(lease.deployment, asking);
      const headers = upstreamHeaders(req.headers, target.host, given, lengthOf(body, method), call.id);
      if (call.trace !== undefined && deps.tracing !== undefined) {
        course.span = deps.tracing.child(call.trace);
        tellTrace(headers, call.trace, course.span);
      }
      announce(call, lease, path);
      const forwarded = await deps.forward({ target, method, path, headers, body, fresh, ...late }, signal);
      if (forwarded.kind === 'failed') {
        if (decide(forwarded.outcome, asked.creates) === 'again') {
          failedAgain(call, lease, forwarded.outcome, clock() - began);
          continue;
        }
        return { peeked: forwarded };
      }
      const { answer } = forwarded;
      pool.observe(lease, headersSeen(answer), clock());
      if (isStream(answer)) call.opening.arm();
      const peeked = await lookAt(answer, firstContentMs, clock() - began, signal);
      if (asking !== undefined && refusesUsage(answer, peeked)) {
        failedAgain(call, lease, { kind: 'refused', status: answer.status }, clock() - began);
        course.askedAgain(lease.backend.name, answer.status);
        refused = asking;
        asking = undefined;
        continue;
      }
      if (refused !== undefined && peeked.kind === 'commit' && answer.status < 400) {
        usageRefusals.add(lease.backend.name, lease.deployment, refused.version, clock());
      }
      return { peeked, answer, hidesUsage: asking !== undefined };
    }
  }

  /** What creates something is not asked of another backend, however long it takes; nor is anything when there is none. */
  function mostToFirstContent({ asked, course }: Attempted, lease: Lease): number | undefined {
    if (limits.firstTokenMs === undefined || !asked.stream || asked.creates) return undefined;
    const { tried, worseThan } = course;
    const hasOther = pool.hasOther(lease, { deployment: asked.deployment, tried, worseThan }, clock());
    return hasOther ? limits.firstTokenMs : undefined;
  }

  function usageAskingOf({ asked }: Attempted, { backend, deployment }: Lease): UsageAsking | undefined {
    const asking = limits.asksForUsage ? asked.usageAsking() : undefined;
    if (asking === undefined) return undefined;
    return usageRefusals.has(backend.name, deployment, asking.version, clock()) ? undefined : asking;
  }

  function lookAt(
    answer: Answer,
    firstContentMs: number | undefined,
    tookMs: number,
    signal: AbortSignal,
  ): Promise<Peeked | PeekFailed> {
    const left = firstContentMs === undefined ? {} : { firstContentMs: Math.max(1, firstContentMs - tookMs) };
    return peek(answer, { ...limits, ...left }, signal, deps.wallClockMs);
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
