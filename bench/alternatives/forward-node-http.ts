// The balancer's attempt with Node's own client and nothing in between: what http-proxy-middleware adds is the difference.
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Attempt, Forwarded, Forwarder, ForwardOptions } from '../../app/src/proxy/forward.ts';
import { ABANDONED, isFinal, Pending } from './pending.ts';

export function createForwarder(options: ForwardOptions): Forwarder {
  const kept = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 256 };
  const clients = {
    'http:': { request: http.request, kept: new http.Agent(kept), fresh: new http.Agent({ keepAlive: false }) },
    'https:': { request: https.request, kept: new https.Agent(kept), fresh: new https.Agent({ keepAlive: false }) },
  };

  function forward(attempt: Attempt, signal: AbortSignal): Promise<Forwarded> {
    if (signal.aborted) return Promise.resolve(ABANDONED);
    const { target, method, path, headers, body, fresh } = attempt;
    const { protocol, hostname, port } = target;
    const client = clients[protocol];
    return new Promise((resolve) => {
      const agent = fresh ? client.fresh : client.kept;
      const request = client.request({ agent, hostname, port, method, path, headers, setHost: false });
      const pending = new Pending(options, { resolve, signal, cancel: () => request.destroy() });
      listen(request, pending, protocol === 'https:' ? 'secureConnect' : 'connect');
      request.end(body);
    });
  }

  function close(): void {
    for (const { kept: pooled, fresh } of Object.values(clients)) {
      pooled.destroy();
      fresh.destroy();
    }
  }

  return { forward, close };
}

function listen(request: ClientRequest, pending: Pending, whenConnected: 'connect' | 'secureConnect'): void {
  const onBroken = (): void => pending.broke(request.reusedSocket);
  request.on('socket', (socket) => {
    if (pending.isSettled) return;
    if (!socket.connecting) return pending.connected();
    pending.connecting();
    socket.once(whenConnected, pending.connected);
  });
  request.on('response', (response: IncomingMessage) => {
    // An upstream that breaks before anybody listens must not end the process.
    response.on('error', ignore);
    const { statusCode = 0, rawHeaders } = response;
    if (pending.isSettled) return void response.destroy();
    if (!isFinal(statusCode)) return pending.fail('reset');
    request.off('close', onBroken);
    pending.answer(statusCode, rawHeaders, response);
  });
  request.on('error', onBroken);
  // An upgrade that nobody asked for ends without an error.
  request.on('close', onBroken);
}

function ignore(): void {
  // Said by the reader of the body.
}
