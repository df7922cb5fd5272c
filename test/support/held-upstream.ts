/** A backend that answers nothing by itself: every request is held until the test answers it, as it likes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';

export interface HeldRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly res: ServerResponse;
}

export interface HeldUpstream {
  /** For BACKEND_n_URL. */
  readonly url: string;
  /** All that arrived whole, in order. */
  readonly requests: readonly HeldRequest[];
  /** Those that nobody answered yet and whose connection stands. */
  readonly held: readonly HeldRequest[];
  /** The first that no `next` gave out yet. */
  next(): Promise<HeldRequest>;
  close(): Promise<void>;
}

export async function startHeldUpstream(): Promise<HeldUpstream> {
  const requests: HeldRequest[] = [];
  const waiting: ((request: HeldRequest) => void)[] = [];
  let given = 0;
  const server = createServer({ keepAliveTimeout: 300_000 }, (req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('error', () => undefined); // The balancer left in mid-body; there is no request then.
    req.on('end', () => {
      const request = { path: req.url ?? '', headers: req.headers, body: Buffer.concat(pieces), res };
      requests.push(request);
      const resolve = waiting.shift();
      if (resolve === undefined) return;
      given += 1;
      resolve(request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    get held() {
      return requests.filter(({ res }) => !res.headersSent && !res.destroyed);
    },
    next() {
      const request = requests[given];
      if (request === undefined) return new Promise((resolve) => waiting.push(resolve));
      given += 1;
      return Promise.resolve(request);
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The settings that put a balancer in front of these, with the keys key-1, key-2, … */
export function behind(...urls: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    urls.flatMap((url, index) => [
      [`BACKEND_${index + 1}_URL`, url],
      [`BACKEND_${index + 1}_APIKEY`, `key-${index + 1}`],
    ]),
  );
}

/** Answers with a small chat completion. */
export function answerChat({ res }: HeldRequest, text = 'Hello.'): void {
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ choices: [{ index: 0, message: { role: 'assistant', content: text } }] }));
}
