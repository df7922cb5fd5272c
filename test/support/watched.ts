/** One request seen from all sides: what its caller read, what was told of it, and that nothing is left of it. */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { ProxyEvent } from '../../app/src/telemetry/events.ts';
import type { RunningBalancer } from './balancer.ts';
import type { Received } from './http.ts';
import { hasNoOpenRequests } from './observed.ts';
import { until } from './until.ts';

export interface Watched<T> {
  readonly received: T;
  readonly finished: Extract<ProxyEvent, { kind: 'request-finished' }>;
  /** The log's line of the request. */
  readonly line: string;
  /** The log's lines of changes of state since the request began. */
  readonly changes: readonly string[];
}

/** Does this, which sends one request, and waits until its end was told. */
export async function watch<T = Received>(running: RunningBalancer, ask: () => Promise<T>): Promise<Watched<T>> {
  const from = running.events.length;
  const before = running.log.length;
  const [received, finished] = await Promise.all([ask(), running.event('request-finished', from)]);
  const lines = running.log.slice(before);
  const line = lines.find(
    (text) => /^(?:WARNING )?[A-Z]+ \//.test(text) && text.includes(`request_id=${finished.requestId}`),
  );
  assert.ok(line !== undefined, `no line of ${finished.requestId} in ${lines.join('')}`);
  return { received, finished, line, changes: lines.filter((text) => /^(?:ERROR |WARNING )?Backend /.test(text)) };
}

/** Nothing in flight or held, no request open at a simulated backend, and so many connections of callers. */
export async function assertAtRest(running: RunningBalancer, callers = 0): Promise<void> {
  running.assertIdle();
  await until(() => hasNoOpenRequests(running));
  const deadline = performance.now() + 10_000;
  for (;;) {
    const open = await connectionsTo(running);
    if (open === callers) return;
    assert.ok(performance.now() < deadline, `${open} connections of callers, not ${callers}`);
    await setImmediate();
  }
}

function connectionsTo({ balancer }: RunningBalancer): Promise<number> {
  return new Promise((resolve, reject) => {
    balancer.server.getConnections((error, count) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}
