/** A resource that is down and comes back, for tests that name one out of several. */
import type { SimulatedResource } from '../../simulator/server.ts';

/** Connections to it are refused. */
export async function takeDown(resource: SimulatedResource | undefined): Promise<void> {
  if (resource === undefined) throw new Error('there is no such resource');
  await resource.stopListening();
}

/** It listens again, on the same port. */
export async function bringUp(resource: SimulatedResource | undefined): Promise<void> {
  if (resource === undefined) throw new Error('there is no such resource');
  await resource.listenAgain();
}
