// The answers of a resource that fails: those a scripted fault puts in place of an answer, and every 429.

import { cutInHalf, errorAnswer } from './deliver.ts';
import type { Answer, WholeAnswer } from './deliver.ts';
import { oddThrottle } from '../limits/oddities.ts';
import type { Overrides } from '../limits/oddities.ts';
import type { DeploymentSpec } from '../options.ts';
import type { Operation, Route } from './routes.ts';
import type { Fault } from '../scenario.ts';
import * as wire from './wire.ts';
import type { ErrorReply, HeaderList, Throttled } from './wire.ts';

const DEFAULT_RETRY_AFTER_MS = 1000;

/** What a scripted error may depend on. */
interface Circumstances {
  readonly route: Route;
  readonly now: number;
  /** Looks into the body, so it is called only for the errors that name the deployment. */
  readonly deployment: () => DeploymentSpec | undefined;
}

/** The error a scripted fault puts in place of the answer; undefined when it only changes the delivery. */
export function failedAnswer(
  fault: Fault,
  { route, now, deployment }: Circumstances,
  base: HeaderList,
): Answer | undefined {
  switch (fault.kind) {
    case 'status':
      return statusAnswer(fault, base);
    case 'throttle':
      return scriptedThrottle(fault, route, deployment(), base);
    case 'odd-throttle':
      return oddlyThrottled(fault, { route, now, deployment }, base);
    case 'missing-deployment':
      return errorAnswer(missingDeployment(route), base);
    case 'operation-not-supported':
      return errorAnswer(wire.operationNotSupported(asked(route).operation, deployment()?.model ?? 'unknown'), base);
    case 'unauthorized':
      return errorAnswer(wire.accessDenied, base);
    case 'permission-denied':
      return errorAnswer(wire.permissionDenied(fault.status), base);
    case 'blocked':
      return errorAnswer(wire.temporarilyBlocked, base);
    case 'content-filter':
      return filteredPrompt(fault, base);
    case 'context-too-long':
      return modelErrorAnswer(wire.contextTooLong(128_000, 128_001), base);
    case 'odd-headers':
    case 'throttle-in-stream':
    case 'error-mid-stream':
    case 'refuse':
    case 'reset-before-headers':
    case 'reset-mid-stream':
    case 'truncated':
    case 'stall':
    case 'slow-first-byte':
    case 'slow-first-chunk':
    case 'hang':
    case 'keepalive':
    case 'stale':
    case 'gzip':
    case 'large':
    case 'early-answer':
      return undefined;
    default:
      return fault satisfies never;
  }
}

function oddlyThrottled(
  { oddity, retryAfterMs = DEFAULT_RETRY_AFTER_MS }: Extract<Fault, { kind: 'odd-throttle' }>,
  { route, now, deployment }: Circumstances,
  base: HeaderList,
): Answer {
  const headers = oddThrottle(oddity, retryAfterMs, now);
  return scriptedThrottle({ kind: 'throttle', retryAfterMs, headers }, route, deployment(), base);
}

/** What was asked for, as a 429 names it; a fault may be scripted for a path that asks for nothing. */
export function asked(route: Route): { readonly operation: Operation; readonly apiVersion: string } {
  return route.kind === 'operation'
    ? { operation: route.operation, apiVersion: route.apiVersion }
    : { operation: 'chat-completions', apiVersion: route.generation };
}

/** Codes for which Azure hands a provisioned deployment's request on. */
export function isSpillable({ status, body }: WholeAnswer): boolean {
  return [429, 500, 503].includes(status) || (status === 400 && String(body).includes('context_length_exceeded'));
}

export function missingDeployment(route: Route): ErrorReply {
  return route.generation === 'v1' ? wire.noMatchingDeployment : wire.deploymentNotFound;
}

export function scriptedThrottle(
  fault: Extract<Fault, { kind: 'throttle' }>,
  route: Route,
  deployment: DeploymentSpec | undefined,
  base: HeaderList,
): Answer {
  const limit = fault.body ?? 'tokens';
  const retryAfterMs = fault.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS;
  const remaining = limit === 'requests' ? { requests: 0 } : { tokens: 0 };
  const headers = [
    ...base,
    ...(deployment?.provisioned === undefined ? wire.quotaHeaders(deployment ?? {}, remaining) : []),
  ];
  const answer = throttledAnswer({ ...asked(route), retryAfterMs, limit }, headers);
  return withHeaders(answer, fault.headers ?? {});
}

function filteredPrompt(
  { variant = 'prompt' }: Extract<Fault, { kind: 'content-filter' }>,
  base: HeaderList,
): Answer | undefined {
  if (variant === 'answer') {
    return undefined; // the model's own answer is cut short
  }
  const code = variant === 'prompt' ? 'ResponsibleAIPolicyViolation' : 'ContentFiltered';
  return modelErrorAnswer(wire.contentFiltered(code), base);
}

/** An error that the model itself answers with, behind the gateway. */
export function modelErrorAnswer(error: ErrorReply, base: HeaderList): WholeAnswer {
  return errorAnswer(error, [...base, ...wire.modelErrorHeaders(error.status)]);
}

export function withHeaders(answer: Answer, overrides: Overrides): Answer {
  return { ...answer, headers: wire.overrideHeaders(answer.headers, overrides) };
}

export function throttledAnswer(throttled: Throttled, headers: HeaderList): WholeAnswer {
  return errorAnswer(wire.tooManyRequests(throttled), [...headers, ...wire.throttleHeaders(throttled)]);
}

function statusAnswer(fault: Extract<Fault, { kind: 'status' }>, base: HeaderList): Answer {
  const written = typeof fault.body === 'object' ? JSON.stringify(fault.body) : fault.body;
  const body = written ?? wire.statusError(fault.status).body;
  const plain = errorAnswer({ status: fault.status, body }, base);
  const answer = { ...plain, headers: wire.overrideHeaders(plain.headers, fault.headers ?? {}) };
  if (fault.truncateBody === true) {
    return { ...answer, cut: cutInHalf(body, { kind: 'end' }) };
  }
  return fault.stallBody === true ? { ...answer, cut: cutInHalf(body, { kind: 'silence' }) } : answer;
}
