/** Requests with exactly the credentials and the path that a test says. */
import http from 'node:http';
import { chat, type Received } from '../../support/http.ts';
import { codeOf, exchange, head } from '../../support/raw.ts';

/** A POST of a completion, or of this body; with null a GET. */
export function sendWithout(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string | null = chat(),
): Promise<Received> {
  const { promise, resolve, reject } = Promise.withResolvers<Received>();
  const type = body === null ? {} : { 'content-type': 'application/json' };
  const method = body === null ? 'GET' : 'POST';
  const req = http.request(url, { method, headers: { ...type, ...headers }, agent: false });
  req.on('error', reject);
  req.on('response', (res) => {
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => chunks.push(chunk));
    res.on('error', () => undefined); // `close` tells.
    res.on('close', () => {
      const { statusCode = 0, rawHeaders, complete } = res;
      resolve({
        status: statusCode,
        headers: res.headers,
        rawHeaders,
        body: Buffer.concat(chunks),
        isComplete: complete,
      });
    });
  });
  req.end(body ?? undefined);
  return promise;
}

/** A GET of a path that URL parsers would change on its way. */
export async function asIs(
  port: number,
  path: string,
  lines: readonly string[] = ['api-key: team-key'],
): Promise<{ readonly status: number; readonly code: string }> {
  const answer = await exchange(port, head(`GET ${path} HTTP/1.1`, 'Host: x', ...lines, 'Connection: close'));
  return { status: answer.status, code: answer.status >= 400 ? codeOf(answer) : '' };
}
