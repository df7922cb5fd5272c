/**
 * Errors made here, in Azure OpenAI's JSON shape: a stable code, and a message that says what to do next.
 * Nothing a caller or a backend sent is quoted, but for names that the caller needs to see, made printable.
 */

/** Every code, with its status and its `type`. docs/operations.md lists them; a test compares. */
export const ERROR_CODES = {
  invalid_path: { status: 400, type: 'invalid_request_error' },
  invalid_deployment_name: { status: 400, type: 'invalid_request_error' },
  malformed_request: { status: 400, type: 'invalid_request_error' },
  invalid_hold: { status: 400, type: 'invalid_request_error' },
  invalid_content_encoding: { status: 415, type: 'invalid_request_error' },
  missing_credential: { status: 401, type: 'authentication_error' },
  unknown_credential: { status: 401, type: 'authentication_error' },
  token_not_accepted: { status: 401, type: 'authentication_error' },
  token_malformed: { status: 401, type: 'authentication_error' },
  token_signature_invalid: { status: 401, type: 'authentication_error' },
  token_wrong_tenant: { status: 401, type: 'authentication_error' },
  token_wrong_audience: { status: 401, type: 'authentication_error' },
  token_expired: { status: 401, type: 'authentication_error' },
  token_not_yet_valid: { status: 401, type: 'authentication_error' },
  operator_credential_needed: { status: 401, type: 'authentication_error' },
  client_not_allowed: { status: 403, type: 'permission_error' },
  host_not_local: { status: 403, type: 'permission_error' },
  operation_not_permitted: { status: 403, type: 'permission_error' },
  unknown_path: { status: 404, type: 'invalid_request_error' },
  DeploymentNotFound: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  body_timeout: { status: 408, type: 'invalid_request_error' },
  request_timeout: { status: 408, type: 'invalid_request_error' },
  body_too_large: { status: 413, type: 'invalid_request_error' },
  client_limit_exceeded: { status: 429, type: 'too_many_requests' },
  all_backends_throttled: { status: 429, type: 'too_many_requests' },
  expectation_failed: { status: 417, type: 'invalid_request_error' },
  headers_too_large: { status: 431, type: 'invalid_request_error' },
  internal_error: { status: 500, type: 'server_error' },
  websocket_not_supported: { status: 501, type: 'invalid_request_error' },
  realtime_not_supported: { status: 501, type: 'invalid_request_error' },
  backend_auth_failed: { status: 502, type: 'server_error' },
  backend_auth_pending: { status: 503, type: 'server_error' },
  backends_unreachable: { status: 502, type: 'server_error' },
  token_keys_unavailable: { status: 503, type: 'server_error' },
  identity_unavailable: { status: 503, type: 'server_error' },
  too_many_requests_in_flight: { status: 503, type: 'server_error' },
  too_many_requests_at_once: { status: 503, type: 'server_error' },
  too_many_bytes_buffered: { status: 503, type: 'server_error' },
  too_many_viewers: { status: 503, type: 'server_error' },
  backends_timed_out: { status: 504, type: 'server_error' },
  answer_not_streamed: { status: 502, type: 'server_error' },
  stream_broken: { status: 502, type: 'server_error' },
  stream_idle: { status: 504, type: 'server_error' },
  stream_drained: { status: 503, type: 'server_error' },
} as const satisfies Readonly<Record<string, { readonly status: number; readonly type: string }>>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What a caller is told. `headers`: lower-case names. */
export interface ProxyError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A bug, with our id for the request that it happened to. */
export class RequestBug extends Error {
  readonly requestId: string;

  constructor(requestId: string, cause: unknown) {
    super('A request failed on a bug', { cause });
    this.requestId = requestId;
  }
}

/** `{"error":{"code","message","type"}}` */
export function errorBody(error: ProxyError): string {
  return JSON.stringify({ error: { code: error.code, message: error.message, type: ERROR_CODES[error.code].type } });
}

/**
 * The error as the last event of a stream. Both generations of SDK throw on it: they look for the event name `error`
 * or for a member `error` in the data.
 */
export function errorEvent(error: ProxyError): string {
  const { code, message } = error;
  return `event: error\ndata: ${JSON.stringify({ type: 'error', error: { type: ERROR_CODES[code].type, code, message } })}\n\n`;
}

/** A name that a stranger chose, safe to print: control and non-ASCII characters become `?`, long ones are cut. */
export function printable(text: string): string {
  const clean = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return clean.length > 100 ? `${clean.slice(0, 100)}…` : clean;
}
