/**
 * Leaving without breaking anything. On the signal readiness goes off; for a grace the ingress still sends requests,
 * which are served with `connection: close`; then nothing new is taken and streams finish; what outlasts the drain
 * is told so in-band.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Connections } from './connections.ts';
import { StreamEnd } from './relay.ts';

export interface Listening {
  readonly server: {
    /** Lets nobody in any more; calls back when everybody has gone. */
    close(onClosed: () => void): void;
    closeAllConnections(): void;
  };
  readonly connections: Connections;
}

export interface DrainPlan {
  /** How long new requests are still taken. */
  readonly graceMs: number;
  /** All of it, the grace included. */
  readonly totalMs: number;
}

export interface Drain {
  readonly isDraining: () => boolean;
  /** Resolves when the server is closed. Calling it again changes nothing. */
  begin(listening: Listening, plan: DrainPlan): Promise<void>;
}

/** The last words of a stream need a moment to be sent. */
const LAST_WORDS_MS = 250;

/**
 * @param active the requests in progress
 * @param endViewers ends what would go on for ever: nobody waits for it
 */
export function createDrain(active: ReadonlySet<AbortController>, endViewers: () => void): Drain {
  let done: Promise<void> | undefined;

  async function run({ server, connections }: Listening, plan: DrainPlan): Promise<void> {
    const graceMs = Math.min(plan.graceMs, plan.totalMs);
    await pause(graceMs);
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    connections.closeIdle();
    endViewers();
    const leftMs = Math.max(0, plan.totalMs - graceMs - LAST_WORDS_MS);
    if (await isSettledWithin(closed, leftMs)) return;
    const end = new StreamEnd('stream_drained', 'The balancer is shutting down. Send the request again.');
    for (const caller of active) caller.abort(end);
    if (await isSettledWithin(closed, LAST_WORDS_MS)) return;
    server.closeAllConnections();
    await closed;
  }

  return {
    isDraining: () => done !== undefined,
    begin(listening, plan) {
      done ??= run(listening, plan);
      return done;
    },
  };
}

async function isSettledWithin(work: Promise<void>, ms: number): Promise<boolean> {
  const giveUp = new AbortController();
  const late = pause(ms, false, { signal: giveUp.signal }).catch(() => false);
  const isSettled = await Promise.race([work.then(() => true), late]);
  giveUp.abort();
  return isSettled;
}
