// A port that nobody listens on and that is taken all the same. A port that is free is given to the next server that
// asks for any, which would then answer in place of a resource that is down.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const HOST = '127.0.0.1';

/** What all reservations are connections to; one for all, so that none asks for a port while another is free. */
let otherEnd: Promise<number> | undefined;

/** Takes the port with a connection from it, as soon as `free` has freed it. Gives back what frees it again. */
export async function reserveOnce(port: number, free: () => Promise<void>): Promise<() => void> {
  otherEnd ??= listenForNothing();
  const to = await otherEnd;
  await free();
  const connection = connect({ host: HOST, port: to, localAddress: HOST, localPort: port });
  connection.unref();
  // Somebody else's connection may have the port already; then it is taken as well.
  await new Promise<void>((resolve) => void connection.once('connect', resolve).once('error', () => resolve()));
  connection.on('error', () => undefined);
  return () => connection.resetAndDestroy();
}

async function listenForNothing(): Promise<number> {
  const server = createServer(
    (socket) =>
      void socket
        .on('error', () => undefined)
        .unref()
        .resume(),
  ).unref();
  server.listen(0, HOST);
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
