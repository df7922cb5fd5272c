/**
 * Loaded into the balancer's process before the balancer (`node --import`): what can only be seen from inside. A line of JSON a second into the
 * file that SOAK_PROBE_FILE names, and one more, after a collection of all garbage, at each SIGUSR2.
 *
 * Delay of the event loop: what somebody who came at any moment had to wait. A timer of 1 ms measures it; one delay of 50 ms stands
 * for the 50 who would have come in it, and waited 50, 49, 48 … ms. (The figure of prom-client is of Node's monitorEventLoopDelay
 * with 10 ms: it counts such a delay once, and has those 10 ms in it.)
 */
import { subscribe } from 'node:diagnostics_channel';
import { writeSync, openSync } from 'node:fs';
import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { STEP_MS } from './delays.ts';
import type { Look } from './looks.ts';

const file = openSync(process.env['SOAK_PROBE_FILE'] ?? '/dev/null', 'a');
const TICK_MS = 1;
const CALLERS = 'net.server.socket';
/** Longer ones count as this. */
const LONGEST_MS = 10_000;

let delays = new Map<number, number>();
let ticks = new Map<number, number>();
let lastAt = performance.now();
const sockets = new Set<WeakRef<Socket>>();
const fromCallers = new WeakSet<Socket>();
const warnings: string[] = [];
const crashes: string[] = [];

setInterval(() => {
  const now = performance.now();
  const late = Math.min(now - lastAt - TICK_MS, LONGEST_MS);
  lastAt = now;
  count(ticks, late);
  // libuv's clock has whole milliseconds, so a tick may come a little early.
  for (let delay = Math.max(0, late); ; delay -= TICK_MS) {
    count(delays, delay);
    if (delay <= TICK_MS) break;
  }
}, TICK_MS).unref();

setInterval(() => tell(false), 1000).unref();
process.on('SIGUSR2', () => {
  // Twice: what finalizers let go is collected with the second.
  globalThis.gc?.();
  globalThis.gc?.();
  tell(true);
  lastAt = performance.now(); // it was this that took the time
});

process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`));
// Node ends the process after this, as it does without anybody listening.
process.on('uncaughtExceptionMonitor', (error, origin) => {
  crashes.push(`${origin}: ${error.stack ?? error.message}`);
  tell(false);
});

for (const channel of [CALLERS, 'net.client.socket']) {
  subscribe(channel, (message) => {
    const socket: unknown =
      typeof message === 'object' && message !== null ? Reflect.get(message, 'socket') : undefined;
    if (!(socket instanceof Socket)) return;
    sockets.add(new WeakRef(socket));
    if (channel === CALLERS) fromCallers.add(socket);
  });
}

function count(counts: Map<number, number>, delayMs: number): void {
  const step = Math.max(0, Math.round(delayMs / STEP_MS));
  counts.set(step, (counts.get(step) ?? 0) + 1);
}

function tell(isCollected: boolean): void {
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const look: Look = {
    at: Date.now(),
    isCollected,
    rss,
    heapUsed,
    external,
    arrayBuffers,
    resources: countsOf(process.getActiveResourcesInfo()),
    ...(isCollected ? { sockets: lookAtSockets() } : {}),
    delays: [...delays],
    ticks: [...ticks],
    warnings: warnings.splice(0),
    crashes: crashes.splice(0),
  };
  delays = new Map();
  ticks = new Map();
  writeSync(file, `${JSON.stringify(look)}\n`);
}

function lookAtSockets(): NonNullable<Look['sockets']> {
  let open = 0;
  let callers = 0;
  let closed = 0;
  let listeners = 0;
  let mostListeners = 0;
  for (const reference of sockets) {
    const socket = reference.deref();
    if (socket === undefined) sockets.delete(reference);
    else if (socket.destroyed) closed += 1;
    else {
      const own = listenersOf(socket);
      open += 1;
      if (fromCallers.has(socket)) callers += 1;
      listeners += own;
      mostListeners = Math.max(mostListeners, own);
    }
  }
  return { open, fromCallers: callers, closed, listeners, mostListeners, ofProcess: listenersOf(process) };
}

function listenersOf(emitter: EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
}

function countsOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
