// Connections that are kept to the backends: that one of them has ended since is nobody's failure, and the caller never
// hears of it.

import assert from 'node:assert/strict';
import type { SimulatedResource } from '../../simulator/server.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { behind, startHeldUpstream } from '../support/held-upstream.ts';
import { chat, send, type Received } from '../support/http.ts';
import { asSent, answerOf, callCounts, hasNoOpenRequests, statesOf } from '../support/observed.ts';
import { bringUp, takeDown } from '../support/outage.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';
const UNBLAMED = ['closed/closed', 'closed/closed', 'closed/closed'];

describe('kept connections', () => {
  let running: RunningBalancer;
  let first: SimulatedResource;
  beforeEach(async () => {
    running = await startBalancer();
    const [resource] = running.resources;
    assert.ok(resource !== undefined);
    first = resource;
  });
  afterEach(() => running.close());

  const ask = (body = chat()): Promise<Received> => send(running.url + PATH, { body });

  function assertUnnoticed(received: Received): void {
    assert.equal(received.status, 200);
    assert.equal(answerOf(received), 'openai1 answers: Say hello.');
    assert.equal(received.headers['x-balancer-backend'], 'openai1');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=200');
    assert.deepEqual(statesOf(running), UNBLAMED);
    assert.equal(
      running.events.some((event) => event.kind === 'state-changed'),
      false,
    );
    running.assertIdle();
  }

  it('are used again', async () => {
    for (let n = 0; n < 5; n += 1) assertUnnoticed(await ask());
    assert.equal(first.openSockets, 1);
    assert.deepEqual(callCounts(running), [5, 0, 0]);
  });

  it('are used again after an error that was failed over', async () => {
    first.script({ kind: 'status', status: 500 });
    await ask();
    await ask();
    assert.deepEqual(
      running.resources.map(({ openSockets }) => openSockets),
      [1, 1, 0],
    );
  });

  it('are used again after a 429 that was failed over', async () => {
    const upstream = await startHeldUpstream();
    const alone = await startBalancer({ backends: 0, settings: behind(upstream.url) });
    try {
      for (let n = 0; n < 3; n += 1) {
        const asked = send(alone.url + PATH, { body: chat({ model: `model-${n}` }) });
        const { res } = await upstream.next();
        res.writeHead(429, { 'retry-after-ms': '1000', 'content-length': '4' }).end('slow');
        assert.equal((await asked).status, 429);
        await until(() => res.writableFinished);
      }
      const ports = new Set(upstream.requests.map(({ res }) => res.req.socket.remotePort));
      assert.equal(ports.size, 1);
    } finally {
      await alone.close();
      await upstream.close();
    }
  });

  it('that ended right before a request are not noticed', async () => {
    for (let n = 0; n < 50; n += 1) {
      await ask();
      first.dropIdleSockets();
      assertUnnoticed(await ask());
    }
    assert.deepEqual(callCounts(running), [100, 0, 0]);
  });

  it('that end while a request is being sent are not noticed', async () => {
    for (let n = 0; n < 50; n += 1) {
      await ask();
      const started = running.event('attempt-started').then(() => first.dropIdleSockets());
      assertUnnoticed(await ask());
      await started;
    }
    assert.deepEqual(callCounts(running).slice(1), [0, 0]);
  });

  for (const fault of ['refuse', 'reset-before-headers'] as const) {
    for (const body of [chat(), chat({ stream: true }), chat({ x: 'y'.repeat(5 * 2 ** 20) })]) {
      it(`that are lost with a request (${fault}, ${body.length} bytes): it is sent once more, to the same backend`, async () => {
        await ask();
        first.script({ kind: fault });
        const received = await ask(body);
        assertUnnoticed(received);
        assert.equal(received.headers['x-balancer-attempts'], '2');
        assert.deepEqual(callCounts(running), [3, 0, 0]);
        assert.ok(first.calls[2]?.body.equals(asSent(body)));
        // Not a kept one: its loss could not be told from this again.
        assert.equal(first.calls[2]?.headers.connection, 'close');
        await until(() => hasNoOpenRequests(running));
      });
    }
  }

  it('that are lost: a second loss on a fresh connection is the backend’s', async () => {
    await ask();
    first.script({ kind: 'refuse' }, { kind: 'refuse' });
    const received = await ask();
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=reset openai2=200');
    assert.equal(received.headers['x-balancer-attempts'], '3');
    assert.deepEqual(callCounts(running), [3, 1, 0]);
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed', 'closed/closed']);
    running.assertIdle();
  });

  it('that all died with their backend’s restart are not noticed', async () => {
    for (const resource of running.resources) resource.always({ kind: 'slow-first-byte', ms: 20 });
    await Promise.all(Array.from({ length: 30 }, () => ask()));
    for (const resource of running.resources) {
      assert.ok(resource.openSockets > 0);
      resource.clearFaults();
      await takeDown(resource);
      await bringUp(resource);
    }
    const received = await Promise.all(Array.from({ length: 30 }, () => ask()));
    for (const { status, headers } of received) {
      assert.equal(status, 200);
      assert.match(String(headers['x-balancer-trace']), /^openai[123]=200$/);
    }
    assert.deepEqual(statesOf(running), UNBLAMED);
    running.assertIdle();
  });

  it('of a backend that is gone for good: it is failed over and its circuit breaker opens', async () => {
    await ask();
    await takeDown(first);
    const received = await ask();
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.match(String(received.headers['x-balancer-trace']), /^openai1=connect openai2=200$/);
    assert.deepEqual(statesOf(running), ['open/closed', 'closed/closed', 'closed/closed']);
    running.assertIdle();
  });
});
