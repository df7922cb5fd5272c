// The bare pass-through: node:http in, http.request out, both bodies piped, upstreams in turn. It checks nobody, holds
// nothing, fails over nowhere and logs nothing: what Node itself costs, and so what the balancer's own work is added to.
import { Agent, createServer, request } from 'node:http';

const upstreamPorts = (process.env['UPSTREAM_PORTS'] ?? '').split(',').map(Number);
const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 1024 });
let turn = 0;

const server = createServer((req, res) => {
  turn = (turn + 1) % upstreamPorts.length;
  const port = upstreamPorts[turn];
  const headers = { ...req.headers, host: `127.0.0.1:${port}` };
  const upstream = request({ agent, host: '127.0.0.1', port, method: req.method, path: req.url, headers });
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

server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1', backlog: 4096 });
