// The bare pass-through: node:http in, http.request or https.request out, both bodies piped, upstreams in turn. It checks
// nobody, holds nothing, fails over nowhere and logs nothing: what Node itself costs, and so what the balancer's own work
// is added to.
import http from 'node:http';
import https from 'node:https';

const origins = (process.env['UPSTREAMS'] ?? '').split(',').map((origin) => new URL(origin));
const { Agent, request } = origins[0]?.protocol === 'https:' ? https : http;
const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 1024 });
const upstreams = origins.map(({ hostname, port, host }) => ({ hostname, port, host }));
let turn = 0;

const server = http.createServer((req, res) => {
  turn = (turn + 1) % upstreams.length;
  const { hostname, port, host } = upstreams[turn] ?? {};
  const headers = { ...req.headers, host };
  const upstream = request({ agent, hostname, port, method: req.method, path: req.url, headers });
  upstream.on('response', (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(res);
  });
  upstream.on('error', () => {
    if (res.headersSent) res.destroy();
    else res.writeHead(502, { 'content-length': 0 }).end();
  });
  res.on('close', () => {
    if (!res.writableFinished) upstream.destroy();
  });
  req.pipe(upstream);
});

// The load's connections are idle while others take their turn.
server.keepAliveTimeout = 250_000;
server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1', backlog: 4096 });
