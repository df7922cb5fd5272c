/**
 * The sending thread with its connections watched: what the SDK asks for, and what is let through. What it puts off for
 * some seconds happens at once.
 */
import { Socket } from 'node:net';
import { parentPort } from 'node:worker_threads';

const LATER_MS = { least: 5000, most: 15_000 };

function wrapConnect(onConnect: (what: string) => void): void {
  const connect: unknown = Reflect.get(Socket.prototype, 'connect');
  Reflect.set(Socket.prototype, 'connect', function (this: Socket, ...args: unknown[]): unknown {
    const [first] = args;
    const target: unknown = Array.isArray(first) ? first[0] : first;
    const { host, port }: { host?: unknown; port?: unknown } =
      typeof target === 'object' && target !== null ? target : {};
    const result: unknown = typeof connect === 'function' ? Reflect.apply(connect, this, args) : undefined;
    onConnect(`${String(host)}:${String(port)}`);
    return result;
  });
}

function tell(what: string): void {
  parentPort?.postMessage({ kind: 'connect', what }, []);
}

const later = globalThis.setTimeout;
Reflect.set(globalThis, 'setTimeout', (run: () => void, ms: number, ...rest: unknown[]) =>
  Reflect.apply(later, globalThis, [run, ms > LATER_MS.least && ms < LATER_MS.most ? 10 : ms, ...rest]),
);
wrapConnect((what) => tell(`let ${what}`));
// The thread wraps it too; what is destroyed at once it did not let through.
const destroy: unknown = Reflect.get(Socket.prototype, 'destroy');
Reflect.set(Socket.prototype, 'destroy', function (this: Socket, error?: Error): unknown {
  if (error !== undefined && 'target' in error) {
    tell(`refused ${String(error.target)}`);
  }
  return typeof destroy === 'function' ? Reflect.apply(destroy, this, [error]) : undefined;
});
await import('../../app/src/telemetry/app-insights.ts');
