/** Answers of our own: errors in Azure's shape, and small JSON documents. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { asciiJson } from '../ascii-json.ts';
import { ERROR_CODES, errorBody, type ProxyError } from './proxy-error.ts';

/**
 * On every answer of our own. Nothing here is a page that may load, run or frame anything, or be guessed to be another
 * type than it says; nothing is to be kept by anybody on the way.
 */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};
const SAFE = Object.entries(SAFE_HEADERS).flat();

/** How long what is left of a refused body is read and thrown away, so that the caller gets to read the answer. */
const LINGER_MS = 2000;
/** A body up to so many bytes is read over. */
const LONGEST_READ_OVER = 65_536;

/** @param own more headers, as name, value, name, value, … */
export function sendError(res: ServerResponse, error: ProxyError, own: readonly string[] = []): void {
  const body = writeErrorHead(res, error, own);
  res.end(body);
}

/**
 * For whoever is turned away for now and comes back: to close the connection would cost both sides more than to read over
 * the body, as long as it is short.
 */
export function sendErrorForNow(
  req: IncomingMessage,
  res: ServerResponse,
  error: ProxyError,
  own: readonly string[] = [],
): void {
  if (!isShort(req)) return sendErrorUnread(req, res, error, own);
  req.resume();
  sendError(res, error, own);
}

/** Of a caller that waits to be told to send its body nothing more comes. */
function isShort({ headers }: IncomingMessage): boolean {
  if (headers['transfer-encoding'] !== undefined || headers.expect !== undefined) return false;
  return Number(headers['content-length'] ?? 0) <= LONGEST_READ_OVER;
}

/**
 * For a body that nobody will read. Closing the connection with bytes unread resets it, and the caller may never see
 * the answer; so the answer is written whole, and the connection closed when the caller is done or has had its time.
 * @param own more headers, as name, value, name, value, …
 */
export function sendErrorUnread(
  req: IncomingMessage,
  res: ServerResponse,
  error: ProxyError,
  own: readonly string[] = [],
): void {
  if (req.readableEnded) return sendError(res, error, own); // Its connection is as good as ever.
  res.write(writeErrorHead(res, error, ['connection', 'close', ...own]));
  const timer = setTimeout(finish, LINGER_MS);
  function finish(): void {
    clearTimeout(timer);
    req.off('end', finish).off('close', finish);
    res.end();
  }
  req.on('end', finish).on('close', finish).resume();
}

/** @param own more headers, as name, value, name, value, … */
export function sendJson(res: ServerResponse, status: number, value: unknown, own: readonly string[] = []): void {
  sendText(res, status, 'application/json', `${asciiJson(value, 2)}\n`, own);
}

export function sendText(
  res: ServerResponse,
  status: number,
  contentType: string,
  text: string,
  own: readonly string[] = [],
): void {
  const body = Buffer.from(text);
  res.writeHead(status, [...SAFE, 'content-type', contentType, 'content-length', String(body.length), ...own]);
  res.end(body);
}

function writeErrorHead(res: ServerResponse, error: ProxyError, own: readonly string[]): Buffer {
  const body = Buffer.from(errorBody(error));
  const headers = [...SAFE, 'content-type', 'application/json', 'content-length', String(body.length), ...own];
  for (const [name, value] of Object.entries(error.headers ?? {})) headers.push(name, value);
  res.writeHead(ERROR_CODES[error.code].status, headers);
  return body;
}
