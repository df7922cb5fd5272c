// The bare pass-through with undici in the place of Node's own client: node:http in, a pool for each upstream out. Like
// bare-server.ts it does nothing else.
import http from 'node:http';
import { Pool, type Dispatcher } from 'undici';

const pools = (process.env['UPSTREAMS'] ?? '')
  .split(',')
  .map((origin) => ({ host: new URL(origin).host, pool: new Pool(origin, { connections: null, allowH2: false }) }));
/** Said hop by hop; undici refuses to be given them. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'expect']);
let turn = 0;

const server = http.createServer((req, res) => {
  turn = (turn + 1) % pools.length;
  const next = pools[turn];
  if (next === undefined) throw new Error('no upstream');
  const headers: Record<string, string | string[]> = { host: next.host };
  for (const [name, value] of Object.entries(req.headers)) {
    if (value !== undefined && name !== 'host' && !HOP_BY_HOP.has(name)) headers[name] = value;
  }
  const left = new AbortController();
  const options: Dispatcher.RequestOptions = {
    path: req.url ?? '/',
    method: req.method ?? 'GET',
    headers,
    body: req,
    signal: left.signal,
  };
  const upstream = next.pool.stream(options, ({ statusCode, headers: answered }) =>
    res.writeHead(statusCode, answered),
  );
  upstream.catch(() => {
    if (res.headersSent) res.destroy();
    else res.writeHead(502, { 'content-length': 0 }).end();
  });
  res.on('close', () => {
    if (!res.writableFinished) left.abort();
  });
});

// The load's connections are idle while others take their turn.
server.keepAliveTimeout = 250_000;
server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1', backlog: 4096 });
