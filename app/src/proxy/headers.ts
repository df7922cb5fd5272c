/**
 * Which headers cross. Upstream: an allow-list, so that no credential, cookie or trick of a caller ever arrives there.
 * To the caller: everything but what belongs to the one connection, and what only we may say.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Seen } from '../balancer/pool.ts';
import { parseQuota } from '../balancer/quota.ts';
import type { Answer } from './forward.ts';

/** Sent upstream as the caller sent them. content-length, host, accept-encoding and the credential are ours. */
export const UPSTREAM_HEADERS: readonly string[] = [
  'content-type',
  'accept',
  'openai-beta',
  'traceparent',
  'tracestate',
  'x-ms-client-request-id',
  'x-ms-spillover-deployment',
  'idempotency-key',
];

/** Never handed on to the caller: hop-by-hop, or about a connection or a site that is not ours. */
const NOT_FOR_CALLERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'set-cookie',
  'strict-transport-security',
  'alt-svc',
]);

/** How a backend is told who we are. */
export type Credential =
  | { readonly header: 'api-key'; readonly value: string }
  | { readonly header: 'authorization'; readonly value: string };

/** Where callers say how they call a request: Azure's own clients, then everybody's habit, then OpenAI's clients. */
const CLIENT_REQUEST_IDS = ['x-ms-client-request-id', 'x-request-id', 'x-client-request-id'] as const;
const LONGEST_REQUEST_ID = 128;

/**
 * What the caller calls its request, when that is short and of harmless characters.
 * @param except names of headers that do not count
 */
export function clientRequestIdOf(from: IncomingHttpHeaders, except: readonly string[] = NONE): string | undefined {
  for (const name of CLIENT_REQUEST_IDS) {
    const value = from[name];
    if (typeof value === 'string' && isHarmlessId(value) && !except.includes(name)) return value;
  }
  return undefined;
}

function isHarmlessId(value: string): boolean {
  return value.length <= LONGEST_REQUEST_ID && /^[\w.:;,/+=@~#-]+$/.test(value);
}

/** Our name for a request, on every answer to it: name, value. */
export function requestIdHeader(id: string): readonly string[] {
  return ['x-balancer-request-id', id];
}

/**
 * The headers of one attempt. `bodyLength` undefined: the request has no body. `requestId`: ours. A backend is told the
 * caller's id, or ours where there is none, so that what it logged can be found again.
 */
export function upstreamHeaders(
  from: IncomingHttpHeaders,
  host: string,
  credential: Credential,
  bodyLength: number | undefined,
  requestId: string,
): Record<string, string> {
  const headers: Record<string, string> = { host };
  const named = tokensOf(from.connection ?? '');
  for (const name of UPSTREAM_HEADERS) {
    const value = from[name];
    if (typeof value === 'string' && !named.includes(name)) headers[name] = value;
  }
  headers['x-ms-client-request-id'] = clientRequestIdOf(from, named) ?? requestId;
  // Compressed events could not be watched, and cost time to the first token.
  headers['accept-encoding'] = 'identity';
  if (bodyLength !== undefined) headers['content-length'] = String(bodyLength);
  headers[credential.header] = credential.value;
  return headers;
}

/** What a backend has left says nothing to a client that has limits of its own here. */
const QUOTA_PREFIX = 'x-ratelimit-';

/**
 * The answer's headers for the caller, as name, value, name, value, …; without content-length.
 * @param own what the balancer says itself, in the same form; in the end
 */
export function callerHeaders(rawHeaders: readonly string[], own: readonly string[] = []): string[] {
  const named = connectionNames(rawHeaders);
  const hasOwnQuota = own.some((name) => name.startsWith(QUOTA_PREFIX));
  const headers: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const lower = name.toLowerCase();
    if (NOT_FOR_CALLERS.has(lower) || lower.startsWith('x-balancer-') || named.includes(lower)) continue;
    if (hasOwnQuota && lower.startsWith(QUOTA_PREFIX)) continue;
    headers.push(name, rawHeaders[i + 1] ?? '');
  }
  for (const text of own) headers.push(text);
  return headers;
}

/** What the headers of an answer tell the pool. */
export function headersSeen({ status, header }: Pick<Answer, 'status' | 'header'>): Seen {
  const quota = parseQuota(header);
  return quota === undefined ? { kind: 'headers' } : { kind: 'headers', quota, isRefused: status === 429 };
}

/**
 * Azure's own spillover, inside one resource, as its headers tell it: `ptu-chat to chat: 429`; undefined when there was
 * none.
 */
export function spilloverOf(header: (name: string) => string | undefined): string | undefined {
  const from = header('x-ms-spillover-from-deployment');
  if (from === undefined) return undefined;
  const [to, error] = [header('x-ms-deployment-name'), header('x-ms-spillover-error')];
  return `${from}${to === undefined ? '' : ` to ${to}`}${error === undefined ? '' : `: ${error}`}`;
}

/** The headers that `Connection` declares hop-by-hop (RFC 9110 §7.6.1). */
function connectionNames(rawHeaders: readonly string[]): readonly string[] {
  const named: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'connection') continue;
    named.push(...tokensOf(rawHeaders[i + 1] ?? ''));
  }
  return named;
}

function tokensOf(connection: string): readonly string[] {
  if (connection === '' || connection === 'keep-alive' || connection === 'close') return NONE;
  return connection.split(',').map((token) => token.trim().toLowerCase());
}

const NONE: readonly string[] = [];
