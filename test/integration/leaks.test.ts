// Many requests, every kind of trouble, callers who leave: afterwards nothing is left of any of them.

import assert from 'node:assert/strict';
import type { Fault } from '../../simulator/scenario.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { hasNoOpenRequests } from '../support/observed.ts';
import { open } from '../support/reading.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';

const faults: readonly (Fault | undefined)[] = [
  undefined,
  { kind: 'throttle', retryAfterMs: 5 },
  undefined,
  { kind: 'status', status: 503 },
  { kind: 'reset-before-headers' },
  undefined,
  { kind: 'status', status: 500, truncateBody: true },
  { kind: 'reset-mid-stream', afterChunks: 3 },
  { kind: 'hang' },
  undefined,
  { kind: 'refuse' },
  { kind: 'status', status: 429, stallBody: true, headers: { 'retry-after-ms': '5' } },
  { kind: 'content-filter' },
  { kind: 'truncated', afterChunks: 2 },
  { kind: 'stall', afterChunks: 2 },
  undefined,
  { kind: 'missing-deployment' },
  { kind: 'early-answer', status: 503 },
  { kind: 'status', status: 503, stallBody: true },
  { kind: 'large', bytes: 2_000_000 },
  { kind: 'gzip' },
  { kind: 'permission-denied' },
];

const bodies = [
  chat(),
  chat({ stream: true }),
  chat({ stream: true, x: 'y'.repeat(300_000) }),
  chat({ x: 'y'.repeat(300_000) }),
  chat({ model: 'unheard-of' }),
  '{ no json',
];

describe('300 mixed requests', () => {
  let running: RunningBalancer;
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.message);
  before(() => {
    process.on('warning', onWarning);
  });
  after(() => {
    process.off('warning', onWarning);
  });
  beforeEach(async () => {
    running = await startBalancer({
      backends: 4,
      settings: { HTTP_TIMEOUT_SECONDS: '0.1', STREAM_IDLE_TIMEOUT_SECONDS: '0.1', SSE_KEEPALIVE_SECONDS: '0.02' },
      handlerLimits: { errorBodyMs: 50 },
    });
  });
  afterEach(() => running.close());

  /** One of three callers reads to the end, one does not read to the end, one leaves early. */
  async function request(n: number): Promise<void> {
    const body = bodies[n % bodies.length] ?? '';
    if (n % 7 === 3) {
      const leaving = new AbortController();
      const left = send(running.url + PATH, { body, signal: leaving.signal });
      const started = running.event('attempt-started');
      void Promise.race([started, left.catch(() => undefined)]).then(() => leaving.abort());
      await left.catch(() => undefined); // It may have been answered before it left.
    } else if (n % 7 === 5) {
      const reading = await open(running.url + PATH, { body });
      reading.leave();
      await reading.done;
    } else {
      const { status } = await send(running.url + PATH, { body });
      assert.ok(status === 200 || status >= 400, String(status));
    }
  }

  it('leave nothing behind', async () => {
    for (const [index, resource] of running.resources.entries()) {
      // The fourth has no trouble, or there would be little but refusals.
      if (index < 3)
        resource.script(
          ...Array.from({ length: 300 }, (_, n) => faults[(n * 7 + index * 5) % faults.length]).map(
            (fault) => fault ?? { kind: 'slow-first-byte' as const, ms: 1 },
          ),
        );
    }
    let next = 0;
    const callers = Array.from({ length: 20 }, async () => {
      while (next < 300) {
        const n = next;
        next += 1;
        await request(n);
      }
    });
    await Promise.all(callers);
    await until(() => running.balancer.admission.inFlight === 0 && hasNoOpenRequests(running));
    running.assertIdle();
    const finished = running.events.filter(({ kind }) => kind === 'request-finished').length;
    const started = running.events.filter(({ kind }) => kind === 'attempt-started').length;
    assert.ok(finished >= 250, `${finished} requests were told of`);
    assert.ok(started > finished, 'nothing was failed over');
    assert.equal(
      running.events.some((event) => event.kind === 'notice' && event.level === 'error'),
      false,
      running.log.join(''),
    );
    for (const resource of running.resources) assert.equal(resource.openRequests, 0);
    assert.deepEqual(warnings, []);
  });

  it('leave nothing on the connections that are used again', async () => {
    const { Agent, request: ask } = await import('node:http');
    const agent = new Agent({ keepAlive: true, maxSockets: 5 });
    const one = (n: number): Promise<number> =>
      new Promise((resolve, reject) => {
        const req = ask(running.url + PATH, { method: 'POST', agent, headers: { 'api-key': 'client-key' } }, (res) => {
          res.resume().on('end', () => resolve(res.statusCode ?? 0));
        });
        req.on('error', reject).end(chat({ stream: n % 2 === 0 }));
      });
    for (const [index, resource] of running.resources.entries()) {
      if (index < 2) resource.always({ kind: 'status', status: 500 });
    }
    for (let round = 0; round < 60; round += 1) {
      const statuses = await Promise.all([1, 2, 3, 4, 5].map((n) => one(round * 5 + n)));
      assert.deepEqual(statuses, [200, 200, 200, 200, 200]);
    }
    agent.destroy();
    await until(() => running.balancer.admission.inFlight === 0 && hasNoOpenRequests(running));
    assert.deepEqual(warnings, []);
    running.assertIdle();
  });
});
