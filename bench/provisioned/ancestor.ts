// The ancestor's rule over node:http, as a process of its own: BACKEND_n_URL, BACKEND_n_APIKEY and BACKEND_n_PRIORITY in,
// `Listening on http://…` out. What it is built of is not the ancestor's (C#, YARP): only whom it asks is compared.
import { Agent, createServer, request } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listenAnywhere } from '../listen.ts';
import { chooseBackend, isHealthy, parkedUntilAfter } from './ancestor-rule.ts';

interface Backend {
  readonly url: string;
  readonly apiKey: string;
  readonly priority: number;
  parkedUntil: number;
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'host', 'content-length', 'api-key']);

const backends = readBackends();
const agent = new Agent({ keepAlive: true });
const server = createServer((req, res) => {
  serve(req, res).catch((error: unknown) => {
    res.destroy(error instanceof Error ? error : undefined);
  });
});
const port = await listenAnywhere(server);
process.stdout.write(`Listening on http://127.0.0.1:${port}\n`);

async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const body = await buffer(req);
  for (;;) {
    const backend = backends[chooseBackend(backends, Date.now(), Math.random)];
    if (backend === undefined) throw new Error('there is no backend');
    const answer = await ask(backend, req, body, res).catch(() => undefined);
    const status = answer?.statusCode ?? 502;
    const now = Date.now();
    backend.parkedUntil = parkedUntilAfter(status, answer?.headers['retry-after'], now) ?? backend.parkedUntil;
    const isToRetry = (status === 429 || status >= 500) && backends.some((other) => isHealthy(other, now));
    if (isToRetry && !res.destroyed) {
      answer?.resume();
      continue;
    }
    if (answer === undefined) {
      res.writeHead(502).end();
    } else {
      res.writeHead(status, withoutHop(answer.headers));
      res.flushHeaders();
      // A broken answer breaks the caller's too.
      answer.once('error', () => res.destroy());
      answer.pipe(res);
    }
    return;
  }
}

function ask(backend: Backend, req: IncomingMessage, body: Buffer, res: ServerResponse): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { ...withoutHop(req.headers), 'api-key': backend.apiKey, 'content-length': body.length };
    const asked = request(new URL(req.url ?? '/', backend.url), { agent, method: req.method ?? 'GET', headers });
    const leave = (): void => void asked.destroy();
    res.once('close', leave);
    asked.once('close', () => res.off('close', leave));
    asked.once('response', resolve);
    asked.on('error', reject);
    asked.end(body);
  });
}

function withoutHop(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

function readBackends(): Backend[] {
  const found: Backend[] = [];
  for (let n = 1; ; n += 1) {
    const url = process.env[`BACKEND_${n}_URL`];
    if (url === undefined) return found;
    const apiKey = process.env[`BACKEND_${n}_APIKEY`] ?? '';
    found.push({ url, apiKey, priority: Number(process.env[`BACKEND_${n}_PRIORITY`] ?? 1), parkedUntil: 0 });
  }
}
