/**
 * A resource that is down: connections to it are refused, and its port stays taken meanwhile. A free port would be given
 * to the next server that asks for any, such as another run of these tests, which would then answer.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { SimulatedResource } from '../../simulator/server.ts';

interface Outage {
  /** A connection from the resource's port: it takes the port, and nobody listens there. */
  readonly taken: Socket;
  readonly end: Server;
}

const outages = new Map<SimulatedResource, Outage>();

/** Owes a `bringUp`, or `endOutages` after the test. */
export async function takeDown(resource: SimulatedResource | undefined): Promise<void> {
  if (resource === undefined) throw new Error('there is no such resource');
  await resource.stopListening();
  const end = createServer((socket) => void socket.on('error', () => undefined).resume());
  end.listen(0, '127.0.0.1');
  await once(end, 'listening');
  const address = end.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const taken = connect({ host: '127.0.0.1', port, localPort: Number(new URL(resource.url).port) });
  await once(taken, 'connect');
  outages.set(resource, { taken, end });
}

/** It listens again, on the same port. */
export async function bringUp(resource: SimulatedResource | undefined): Promise<void> {
  if (resource === undefined) throw new Error('there is no such resource');
  await endOutage(resource);
  await resource.listenAgain();
}

/** Gives all ports back. For `afterEach`. */
export async function endOutages(): Promise<void> {
  for (const resource of outages.keys()) await endOutage(resource);
}

async function endOutage(resource: SimulatedResource): Promise<void> {
  const outage = outages.get(resource);
  if (outage === undefined) return;
  outages.delete(resource);
  const closed = once(outage.end, 'close');
  outage.taken.destroy();
  outage.end.close();
  await closed;
}
