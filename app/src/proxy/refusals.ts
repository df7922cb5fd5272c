/**
 * What a caller is told, in words: every refusal of the front door, and the one answer when no backend gave any.
 */
import type { Left, LimitReached, Shown } from '../auth/client-limits.ts';
import type { Refusal } from '../balancer/failover.ts';
import type { NoRoom } from './admission.ts';
import { BARE_OPERATIONS, LONGEST_DEPLOYMENT_NAME } from './front-door.ts';
import { printable, type ProxyError } from './proxy-error.ts';

export const WEBSOCKET: ProxyError = {
  code: 'websocket_not_supported',
  message: 'WebSocket connections are not served here. Use the HTTP API; streamed answers come as server-sent events.',
};

export const PATH_ERRORS = {
  invalid: {
    code: 'invalid_path',
    message: 'The path has dot segments, encoded separators or control characters. Send it plainly.',
  },
  unknown: {
    code: 'unknown_path',
    message:
      'Nothing is served at this path. Served are /openai/deployments/{deployment}/…?api-version=… (AzureOpenAI ' +
      'clients), /openai/v1/…, /v1/… and /{operation} (OpenAI clients), where operation is one of ' +
      `${BARE_OPERATIONS.join(', ')}; and /healthz, /readyz, /metrics, /status.`,
  },
  unserved: {
    code: 'realtime_not_supported',
    message:
      'Realtime sessions are not served here: their secret would lead past the balancer. Use the other operations.',
  },
} as const satisfies Readonly<Record<string, ProxyError>>;

export const INVALID_HOLD: ProxyError = {
  code: 'invalid_hold',
  message: 'x-balancer-max-hold-ms must be a whole number of milliseconds, such as 500, or 0 not to wait at all.',
};

export const METHOD_NOT_ALLOWED: ProxyError = {
  code: 'method_not_allowed',
  message: 'Only GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS are served; this is not a forward proxy.',
  headers: { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' },
};

export const MALFORMED_REQUEST: ProxyError = {
  code: 'malformed_request',
  message: 'This is not a request that HTTP/1.1 allows.',
};

export const EXPECTATION_FAILED: ProxyError = {
  code: 'expectation_failed',
  message: 'The only expectation that can be met is 100-continue.',
};

export const HEADERS_TOO_LARGE: ProxyError = {
  code: 'headers_too_large',
  message: 'The headers are too many, or larger than 32 KiB. Send less.',
};

export const REQUEST_TIMEOUT: ProxyError = {
  code: 'request_timeout',
  message: 'The request did not arrive in time. Send it again.',
};

export const LONG_DEPLOYMENT_NAME: ProxyError = {
  code: 'invalid_deployment_name',
  message: `A deployment name has at most ${LONGEST_DEPLOYMENT_NAME} characters.`,
};

export const COMPRESSED_BODY: ProxyError = {
  code: 'invalid_content_encoding',
  message: 'Compressed request bodies are not accepted. Send the body as it is, without Content-Encoding.',
};

/** By why there is none: see admission.ts. */
export const NO_ROOM = {
  full: {
    code: 'too_many_requests_in_flight',
    message: 'As many requests are in flight here as may be (MAX_CONCURRENT_REQUESTS). Try again in a moment.',
    headers: { 'retry-after': '1' },
  },
  behind: {
    code: 'too_many_requests_at_once',
    message: 'More requests come than this replica has CPU for. Try again in a moment.',
    headers: { 'retry-after': '1' },
  },
} as const satisfies Readonly<Record<NoRoom, ProxyError>>;

export const BODY_ERRORS = {
  'too-large': {
    code: 'body_too_large',
    message: 'The request body is larger than this balancer takes (MAX_BODY_BYTES). Send less at once.',
  },
  'no-room': {
    code: 'too_many_bytes_buffered',
    message: 'The request bodies held here fill what may be held (MAX_BUFFERED_BYTES). Try again in a moment.',
    headers: { 'retry-after': '1' },
  },
  'too-slow': {
    code: 'body_timeout',
    message: 'The request body stopped coming. Send it again, whole.',
  },
} as const satisfies Readonly<Record<string, ProxyError>>;

export const INTERNAL: ProxyError = {
  code: 'internal_error',
  message: 'The balancer failed on this request. Try again; if it happens again, its log has the reason.',
};

/** Recoveries further off than this are not worth a client's waiting: SDKs ignore them and come back too early. */
const WORTH_WAITING_MS = 60_000;
/** A role comes into force when it does. */
const UNKNOWN_ROLE_MS = 5000;
/** When no backend said when it recovers. */
const UNKNOWN_RECOVERY_MS = 1000;

/**
 * The error for a refusal that has no upstream answer.
 * @param now clock ms; @param random numbers in [0, 1), to spread those who come back
 */
export function refusalError(
  refusal: Exclude<Refusal, { readonly kind: 'verbatim' }>,
  deployment: string,
  now: number,
  random: () => number,
): ProxyError {
  switch (refusal.kind) {
    case 'throttled':
      return throttled((refusal.recoversAt ?? now + UNKNOWN_RECOVERY_MS) - now, random);
    case 'missing':
      return {
        code: 'DeploymentNotFound',
        message:
          `No backend has a deployment named "${printable(deployment)}". Deploy it, or map the name with ` +
          'DEPLOYMENT_ALIASES or BACKEND_n_DEPLOYMENTS. A deployment made in the last 5 minutes may need a moment.',
      };
    case 'unauthorized':
      return {
        code: 'backend_auth_failed',
        message:
          "Every backend refused the balancer's own credential. Its operator must check BACKEND_n_APIKEY, or the role " +
          'Cognitive Services OpenAI User of its managed identity; each backend is tried again every minute.',
      };
    case 'not-yet':
      return {
        code: 'backend_auth_pending',
        message:
          'No backend lets the identity of the balancer do this yet. After a deployment its role takes some minutes to take ' +
          'effect; if it lasts, its operator must check that it has the role Cognitive Services OpenAI User.',
        headers: spreadWait((refusal.recoversAt ?? now + UNKNOWN_ROLE_MS) - now, random).headers,
      };
    case 'not-permitted':
      return {
        code: 'operation_not_permitted',
        message:
          'Your credential was accepted, but the role of the balancer itself does not permit this operation at any ' +
          'backend. Its operator can give its identity a role that does (Cognitive Services OpenAI Contributor, say); a ' +
          'new role takes some minutes.',
      };
    case 'no-credential':
      return {
        code: 'identity_unavailable',
        message:
          'The managed identity of the balancer gives no token yet. In the first minutes after a deployment this ' +
          'passes by itself; else its operator must check AZURE_CLIENT_ID and the identity.',
        headers: { 'retry-after': '5' },
      };
    case 'timeout':
      return {
        code: 'backends_timed_out',
        message:
          'No backend answered in time (HTTP_TIMEOUT_SECONDS; for streams also FIRST_TOKEN_TIMEOUT_SECONDS). Try again, or ' +
          'ask for less at once.',
      };
    case 'unreachable':
      return {
        code: 'backends_unreachable',
        message: 'No backend could be reached, or each broke off before it answered. Try again in a moment.',
        headers: { 'retry-after': '1' },
      };
    default:
      return refusal satisfies never;
  }
}

/** For a creation that may have been carried out: SDKs repeat a 5xx by themselves unless they are told not to. */
export function asUnclear({ code, message }: ProxyError): ProxyError {
  return {
    code,
    message: `${message} It may have been carried out all the same: look before you send it again.`,
    headers: { 'x-should-retry': 'false' },
  };
}

function throttled(leftMs: number, random: () => number): ProxyError {
  const { waitMs, seconds, headers } = spreadWait(leftMs, random);
  if (waitMs > WORTH_WAITING_MS) headers['x-should-retry'] = 'false';
  return {
    code: 'all_backends_throttled',
    message: `Every backend that serves this deployment is out of quota. The first recovers in ${seconds} s: try again then.`,
    headers,
  };
}

/** A client has used what it may use here. */
export function limitError(reached: LimitReached, random: () => number): ProxyError {
  const { client, what, most, shown } = reached;
  const { seconds, headers } = spreadWait(reached.waitMs, random);
  const own = limitHeaders(shown);
  for (let i = 0; i + 1 < own.length; i += 2) headers[own[i] ?? ''] = own[i + 1] ?? '';
  return {
    code: 'client_limit_exceeded',
    message: `${printable(client)} ${LIMIT_WORDS[what](most)} (CLIENT_LIMITS). Try again in ${seconds} s.`,
    headers,
  };
}

const LIMIT_WORDS = {
  tokens: (most: number) => `has used the ${most} tokens that it may use here in a minute`,
  requests: (most: number) => `has sent the ${most} requests that it may send here in a minute`,
  concurrent: (most: number) => `has ${most} requests under way, as many as it may have here at a time`,
} as const satisfies Record<LimitReached['what'], (most: number) => string>;

/** What is left of a client's own minute, named as backends name theirs: name, value, name, value, … */
export function limitHeaders(shown: Shown | undefined): readonly string[] {
  if (shown === undefined) return [];
  return [...leftHeaders('requests', shown.requests), ...leftHeaders('tokens', shown.tokens)];
}

function leftHeaders(what: string, left: Left | undefined): readonly string[] {
  if (left === undefined) return [];
  return [
    `x-ratelimit-limit-${what}`,
    String(left.limit),
    `x-ratelimit-remaining-${what}`,
    String(left.remaining),
    `x-ratelimit-reset-${what}`,
    String(Math.ceil(left.resetMs / 1000)),
  ];
}

/**
 * Up to a tenth later than when there is room, never before it: those who come back should not come together. Not
 * beyond what clients are ready to wait, though: SDKs come back at once when they are told more than a minute.
 */
function spreadWait(
  leftMs: number,
  random: () => number,
): { readonly waitMs: number; readonly seconds: number; readonly headers: Record<string, string> } {
  const spreadMs = leftMs * (1 + random() / 10);
  const waitMs = Math.max(1, Math.ceil(leftMs <= WORTH_WAITING_MS ? Math.min(spreadMs, WORTH_WAITING_MS) : spreadMs));
  const seconds = Math.ceil(waitMs / 1000);
  return { waitMs, seconds, headers: { 'retry-after-ms': String(waitMs), 'retry-after': String(seconds) } };
}
