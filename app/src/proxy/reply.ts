/** Answers of our own: errors in Azure's shape, and small JSON documents. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERROR_CODES, errorBody, type ProxyError } from './proxy-error.ts';

/** How long what is left of a refused body is read and thrown away, so that the caller gets to read the answer. */
const LINGER_MS = 2000;

/** @param own more headers, as name, value, name, value, … */
export function sendError(res: ServerResponse, error: ProxyError, own: readonly string[] = []): void {
  const body = writeErrorHead(res, error, own);
  res.end(body);
}

/**
 * For a body that nobody will read. Closing the connection with bytes unread resets it, and the caller may never see
 * the answer; so the answer is written whole, and the connection closed when the caller is done or has had its time.
 */
export function sendErrorUnread(req: IncomingMessage, res: ServerResponse, error: ProxyError): void {
  if (req.readableEnded) return sendError(res, error); // It was read after all, and its connection is as good as ever.
  res.write(writeErrorHead(res, error, ['connection', 'close']));
  const timer = setTimeout(finish, LINGER_MS);
  function finish(): void {
    clearTimeout(timer);
    req.off('end', finish).off('close', finish);
    res.end();
  }
  req.on('end', finish).on('close', finish).resume();
}

export function sendJson(res: ServerResponse, status: number, value: unknown, own: readonly string[] = []): void {
  const body = Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);
  const length = String(body.length);
  res.writeHead(status, [
    'content-type',
    'application/json',
    'cache-control',
    'no-store',
    'content-length',
    length,
    ...own,
  ]);
  res.end(body);
}

function writeErrorHead(res: ServerResponse, error: ProxyError, own: readonly string[]): Buffer {
  const body = Buffer.from(errorBody(error));
  const headers = ['content-type', 'application/json', 'content-length', String(body.length), ...own];
  for (const [name, value] of Object.entries(error.headers ?? {})) headers.push(name, value);
  res.writeHead(ERROR_CODES[error.code].status, headers);
  return body;
}
