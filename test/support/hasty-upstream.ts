/**
 * A backend on a thread of its own, which answers at the first bytes of a request and closes while the rest is on its way.
 * On the tests' own thread it could only do so between two writes of the balancer, never during one.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ServerCertificate } from '../../simulator/tls.ts';

export interface HastyUpstream {
  /** For BACKEND_n_URL. */
  readonly url: string;
  close(): Promise<void>;
}

export interface Haste {
  /** The whole answer, head and body. */
  readonly answer: string;
  /** close: with bytes unread, which resets. reset: at once. end: in an orderly way, and what comes is read. */
  readonly ending: 'close' | 'reset' | 'end';
  readonly tls?: ServerCertificate;
}

const CODE = `
const { createServer } = require('node:net');
const { createServer: createSecureServer } = require('node:tls');
const { parentPort, workerData: { answer, ending, tls } } = require('node:worker_threads');
const beneath = new Map();
function serve(socket) {
  socket.on('error', () => {});
  let isAnswered = false;
  socket.on('data', () => {
    if (isAnswered) return;
    isAnswered = true;
    if (ending === 'end') return socket.end(answer);
    socket.pause();
    socket.write(answer, () => {
      const tcp = beneath.get(socket.remotePort) ?? socket;
      if (ending === 'reset') tcp.resetAndDestroy();
      else tcp.destroy();
    });
  });
}
const server = tls === undefined ? createServer(serve) : createSecureServer(tls, serve);
if (tls !== undefined) {
  server.on('connection', (socket) => {
    const { remotePort } = socket;
    beneath.set(remotePort, socket);
    socket.on('error', () => {}).on('close', () => beneath.delete(remotePort));
  });
}
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

export async function startHastyUpstream(haste: Haste): Promise<HastyUpstream> {
  const worker = new Worker(CODE, { eval: true, workerData: haste });
  const message: unknown[] = await once(worker, 'message');
  const scheme = haste.tls === undefined ? 'http' : 'https';
  return {
    url: `${scheme}://127.0.0.1:${String(message[0])}`,
    async close() {
      await worker.terminate();
    },
  };
}
