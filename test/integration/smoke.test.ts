import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';

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
});
