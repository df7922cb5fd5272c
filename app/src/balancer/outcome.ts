/**
 * What an attempt came to, and which of the answers of a backend mean what.
 * `classify` reads a response that was received whole; network failures are named where they are seen (proxy/forward.ts).
 */
import { parseRetryAfterMs, type HeaderLookup } from './retry-after.ts';

/** Tokens that a backend said it counted for one request. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the prompt's, those that it found in its cache; absent where it did not say. */
  readonly cachedTokens?: number;
  /** Of the completion's, those that nobody reads; absent where it did not say. */
  readonly reasoningTokens?: number;
  /** Nobody said: it is our guess. */
  readonly isEstimated?: true;
}

/** What failed, named by stage. `credential`: we had none to send. `status`: an answer of the 5xx kind (or 408). */
export type FailureCause =
  | 'credential'
  | 'connect'
  | 'reset'
  | 'stale-socket'
  | 'header-timeout'
  | 'first-token-timeout'
  | 'status'
  | 'in-stream';

/** How one attempt ended. Exactly one per lease. `code`: what the network or TLS said, such as `ENOTFOUND`. */
export type Outcome =
  /** `served`: the answer went to the caller; `refused`: so did the backend's own 4xx, which another would repeat. */
  | { readonly kind: 'served' | 'refused'; readonly status: number; readonly usage?: Usage }
  | { readonly kind: 'throttled'; readonly retryAfterMs?: number; readonly inStream: boolean }
  | { readonly kind: 'failed'; readonly status?: number; readonly cause: FailureCause; readonly code?: string }
  /** `too-long`: the prompt, for this deployment; that of a worse priority may take it. */
  | { readonly kind: 'missing' | 'unsupported' | 'too-long' }
  /** `status`: 401 or 403; absent where it said so otherwise. */
  | { readonly kind: 'unauthorized'; readonly scope: 'host' | 'operation'; readonly status?: number }
  /** After commit: the upstream broke (`reset`) or fell silent (`idle`). */
  | { readonly kind: 'broken'; readonly cause: 'reset' | 'idle' }
  /** The caller left. Never a backend's fault. */
  | { readonly kind: 'abandoned'; readonly usage?: Usage };

/** An upstream answer as far as classifying needs it; `bodyText` is asked only for the statuses that need it. */
export interface ReceivedAnswer {
  readonly status: number;
  readonly header: HeaderLookup;
  readonly bodyText: () => string;
}

export type FailedOutcome = Extract<Outcome, { readonly kind: 'failed' }>;
export type Throttled = Extract<Outcome, { readonly kind: 'throttled' }>;

/** It used up the time that there is for an answer to begin. */
export function isTimeout(outcome: Outcome): boolean {
  return outcome.kind === 'failed' && (outcome.cause === 'header-timeout' || outcome.cause === 'first-token-timeout');
}

/** Why an attempt failed, in a word for people: `CERT_HAS_EXPIRED`, `header-timeout`, `503`. */
export function reasonOf({ code, status, cause }: FailedOutcome): string {
  return code ?? (status === undefined ? cause : String(status));
}

/** Statuses that say "this backend cannot answer now". */
const FAILING_STATUSES: ReadonlySet<number> = new Set([408, 500, 502, 503, 504]);

/** True when the body must be read before the answer can be classified. */
export function needsBody(status: number): boolean {
  return status >= 400;
}

/**
 * Names what an answer means for the caller and the backend.
 * Codes are matched, and texts only where Azure gives no code (wire: v1 answers 400 for a missing deployment).
 * @param spillsLong a prompt that is too long for this deployment may be asked of one of a worse priority
 */
export function classify(answer: ReceivedAnswer, wallClockMs: number, spillsLong = false): Outcome {
  const { status } = answer;
  if (status < 400) return { kind: 'served', status };
  if (status === 429) {
    const retryAfterMs = parseRetryAfterMs(answer.header, wallClockMs);
    return retryAfterMs === undefined
      ? { kind: 'throttled', inStream: false }
      : { kind: 'throttled', retryAfterMs, inStream: false };
  }
  if (FAILING_STATUSES.has(status)) return { kind: 'failed', status, cause: 'status' };
  if (status === 401 || status === 403) {
    // PermissionDenied: our identity lacks the role for this one operation; it may well have it for the others.
    const scope = errorCodes(answer).includes('PermissionDenied') ? 'operation' : 'host';
    return { kind: 'unauthorized', scope, status };
  }
  if (status === 404 && errorCodes(answer).includes('DeploymentNotFound')) return { kind: 'missing' };
  if (status === 400) return classifyBadRequest(answer, spillsLong);
  return { kind: 'refused', status };
}

function classifyBadRequest(answer: ReceivedAnswer, spillsLong: boolean): Outcome {
  const codes = errorCodes(answer);
  if (spillsLong && codes.includes('context_length_exceeded')) return { kind: 'too-long' };
  if (codes.includes('OperationNotSupported')) return { kind: 'unsupported' };
  if (codes.includes('DeploymentNotFound')) return { kind: 'missing' };
  // The only text that is matched: v1 gives this 400 no code of its own. Anchored to the start of the message, so that
  // a prompt quoted back in some other 400 cannot make a deployment look missing.
  const message = errorBody(answer.bodyText())?.['message'];
  if (typeof message === 'string' && /^\W{0,3}Could not find an existing deployment\b/i.test(message)) {
    return { kind: 'missing' };
  }
  return { kind: 'refused', status: 400 };
}

/** `error.code` and `error.innererror.code` of a body in Azure's error shape; none when it is something else. */
function errorCodes(answer: ReceivedAnswer): readonly string[] {
  const error = errorBody(answer.bodyText());
  if (error === undefined) return [];
  const inner = error['innererror'];
  const codes = [error['code'], isRecord(inner) ? inner['code'] : undefined];
  return codes.filter((code): code is string => typeof code === 'string');
}

function errorBody(text: string): Record<string, unknown> | undefined {
  if (text.length > 65_536 || !text.includes('"error"')) return undefined;
  try {
    const body: unknown = JSON.parse(text);
    const error = isRecord(body) ? body['error'] : undefined;
    return isRecord(error) ? error : undefined;
  } catch {
    return undefined; // An error page of something in between: its status alone counts.
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
