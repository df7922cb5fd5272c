/**
 * A resource that is down: connections to it are refused, and its port stays taken meanwhile. A free port would be given
 * to the next server that asks for any, such as another run of these tests, which would then answer.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { SimulatedResource } from '../../simulator/server.ts';

/** Connections from the ports of the resources that are down: each takes its port, and nobody listens there. */
const outages = new Map<SimulatedResource, Socket>();

/** What they connect to; one for all tests, so that nothing asks for a port at the moment at which one is free. */
let otherEnd: Promise<number> | undefined;

/** Owes a `bringUp`, or `endOutages` after the test. */
export async function takeDown(resource: SimulatedResource | undefined): Promise<void> {
  if (resource === undefined) throw new Error('there is no such resource');
  otherEnd ??= listenForNothing();
  const port = await otherEnd;
  const localPort = Number(new URL(resource.url).port);
  await resource.stopListening();
  const taken = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1', localPort });
  outages.set(resource, taken);
  // Somebody else's connection may have the port already; then it is taken as well.
  await new Promise<void>((resolve) => void taken.on('connect', resolve).on('error', () => resolve()));
}

/** It listens again, on the same port. */
export async function bringUp(resource: SimulatedResource | undefined): Promise<void> {
  if (resource === undefined) throw new Error('there is no such resource');
  endOutage(resource);
  await resource.listenAgain();
}

/** Gives all ports back. For `afterEach`. */
export function endOutages(): void {
  for (const resource of outages.keys()) endOutage(resource);
}

function endOutage(resource: SimulatedResource): void {
  outages.get(resource)?.resetAndDestroy();
  outages.delete(resource);
}

async function listenForNothing(): Promise<number> {
  const server = createServer((socket) => void socket.on('error', () => undefined).resume()).unref();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
