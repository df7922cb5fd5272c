import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send } from '../support/http.ts';

describe('the balancer', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer();
  });
  afterEach(() => running.close());

  it('answers a request that one backend throttles from another, at once', async () => {
    const [first, second] = running.resources;
    first?.script({ kind: 'throttle', retryAfterMs: 1200 });
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat() });
    assert.equal(received.status, 200);
    assert.equal(received.headers['x-balancer-backend'], 'openai2');
    assert.equal(received.headers['x-balancer-attempts'], '2');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=429(1200ms) openai2=200');
    assert.deepEqual([first?.calls.length, second?.calls.length], [1, 1]);
    assert.match(running.log[0] ?? '', /^Proxying to http:\/\/127\.0\.0\.1:\d+\/openai\/v1\/chat\/completions /);
    running.assertIdle();
  });

  it('tells whose words it passed on when every backend failed, in the event, the log and the headers alike', async () => {
    for (const resource of running.resources) resource.script({ kind: 'status', status: 503 });
    const told = running.event('request-finished');
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat() });
    assert.equal(received.status, 503);
    assert.equal(received.headers['x-balancer-backend'], 'openai3');
    const { backend, trace, attempts, ending } = await told;
    assert.deepEqual(
      { backend, trace, attempts, ending },
      { backend: 'openai3', trace: 'openai1=503 openai2=503 openai3=503', attempts: 3, ending: 'delivered' },
    );
    assert.equal(received.headers['x-balancer-trace'], trace);
    assert.match(
      running.log.at(-1) ?? '',
      / 503 .* trace="openai1=503 openai2=503 openai3=503" .* backend=openai3 attempts=3 /,
    );
    running.assertIdle();
  });

  it('refuses a deployment name that is too long, at once, and keeps the connection', async () => {
    const received = await send(`${running.url}/v1/chat/completions`, {
      headers: { connection: 'keep-alive' },
      body: chat({ model: 'x'.repeat(257) }),
    });
    assert.equal(received.status, 400);
    assert.equal(errorOf(received).code, 'invalid_deployment_name');
    assert.equal(received.headers.connection, 'keep-alive');
    assert.deepEqual(
      running.resources.map(({ calls }) => calls.length),
      [0, 0, 0],
    );
    running.assertIdle();
  });
});
