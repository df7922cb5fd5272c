// Nobody can answer now, but somebody can in a moment: the request waits here, not in the caller's patience.

import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { behind, startHeldUpstream } from '../support/held-upstream.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';
import { useManualTimers, type ManualTimers } from '../support/manual-timers.ts';
import { answerOf, callCounts, course } from '../support/observed.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';

describe('holding', () => {
  let running: RunningBalancer;
  let timers: ManualTimers | undefined;
  afterEach(async () => {
    timers?.restore();
    await running.close();
  });

  async function start(maxHold: string, setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ ...setup, settings: { MAX_HOLD_SECONDS: maxHold, ...setup.settings } });
  }

  const ask = (headers: Record<string, string> = {}): Promise<Received> =>
    send(running.url + PATH, { body: chat(), headers: { 'api-key': CLIENT_KEY, ...headers } });

  function throttleAll(retryAfterMs: number): void {
    for (const resource of running.resources) resource.script({ kind: 'throttle', retryAfterMs });
  }

  /** The gauge of /metrics, through the balancer's own words. */
  const isHolding = (count: number) => (): boolean => running.balancer.hold.size === count;

  it('answers when the first backend is back, and says how long it waited', async () => {
    await start('2');
    throttleAll(150);
    const received = await ask();
    assert.equal(received.status, 200);
    assert.equal(answerOf(received), 'openai1 answers: Say hello.');
    assert.match(
      String(course(received).trace),
      /^openai1=429\(150ms\) openai2=429\(150ms\) openai3=429\(150ms\) held=1\d\dms openai1=200$/,
    );
    assert.equal(course(received).attempts, '4');
    assert.deepEqual(callCounts(running), [2, 1, 1]);
    running.assertIdle();
    assert.equal(running.balancer.hold.size, 0);
    const { heldMs = 0, durationMs } = await running.event('request-finished', 0);
    assert.ok(heldMs >= 99 && heldMs <= durationMs);
  });

  it('holds the next request without asking anybody who is still throttled', async () => {
    await start('2');
    throttleAll(200);
    const [first, second] = await Promise.all([ask(), ask()]);
    assert.deepEqual([first?.status, second?.status], [200, 200]);
    assert.ok(callCounts(running).reduce((sum, calls) => sum + calls, 0) <= 8);
    running.assertIdle();
  });

  it('refuses at once what would have to wait longer, with the honest time', async () => {
    await start('2');
    throttleAll(9000);
    const received = await ask();
    assert.equal(received.status, 429);
    assert.equal(errorOf(received).code, 'all_backends_throttled');
    assert.ok(!String(course(received).trace).includes('held'));
    running.assertIdle();
  });

  it('waits again when it is throttled after waiting, as long as its time lasts', async () => {
    await start('2', { backends: 1 });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 100 }, { kind: 'throttle', retryAfterMs: 150 });
    const received = await ask();
    assert.equal(received.status, 200);
    assert.match(
      String(course(received).trace),
      /^openai1=429\(100ms\) held=\d+ms openai1=429\(150ms\) held=\d+ms openai1=200$/,
    );
    running.assertIdle();
  });

  it('refuses who is throttled after waiting for longer than is left of its time', async () => {
    await start('0.3', { backends: 1 });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 100 }, { kind: 'throttle', retryAfterMs: 250 });
    const received = await ask();
    assert.equal(received.status, 429);
    assert.deepEqual(callCounts(running), [2]);
    running.assertIdle();
  });

  it('gives up on a backend that names waits which are not true', async () => {
    await start('2', { backends: 1 });
    running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 1 });
    assert.equal((await ask()).status, 429);
    assert.deepEqual(callCounts(running), [9]);
    running.assertIdle();
  });

  it('tells what went wrong after waiting, not the throttle before it', async () => {
    await start('2', { backends: 1 });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 100 }, { kind: 'status', status: 503 });
    const received = await ask();
    assert.equal(received.status, 503);
    assert.match(String(course(received).trace), /^openai1=429\(100ms\) held=\d+ms openai1=503$/);
    running.assertIdle();
  });

  it('waits no longer than its caller asks, and not at all for 0', async () => {
    await start('2');
    throttleAll(400);
    assert.equal((await ask({ 'x-balancer-max-hold-ms': '0' })).status, 429);
    const received = await ask({ 'x-balancer-max-hold-ms': '100' });
    assert.equal(received.status, 429);
    assert.ok(!String(course(received).trace).includes('held'));
    assert.deepEqual(callCounts(running), [1, 1, 1]);
    running.assertIdle();
  });

  it('tells a caller who asks for nonsense', async () => {
    await start('2');
    const received = await ask({ 'x-balancer-max-hold-ms': 'soon' });
    assert.equal(received.status, 400);
    assert.equal(errorOf(received).code, 'invalid_hold');
    assert.deepEqual(callCounts(running), [0, 0, 0]);
  });

  it('sends one request to a backend that is just back, not the herd, and answers everybody', async () => {
    await start('5', { backends: 1, resource: () => ({ chunkDelayMs: 1 }) });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 200 });
    let most = 0;
    const [resource] = running.resources;
    const counting = running.event('attempt-started');
    const asked = Promise.all(Array.from({ length: 20 }, () => ask()));
    await counting;
    await until(() => running.balancer.hold.size >= 15);
    const look = (): boolean => {
      most = Math.max(most, resource?.openRequests ?? 0);
      return running.balancer.hold.size === 0;
    };
    await until(look);
    const received = await asked;
    assert.deepEqual([...new Set(received.map(({ status }) => status))], [200]);
    assert.ok(most < 16, `${most} requests at a time`);
    running.assertIdle();
  });

  it('waits for the throttled backend beside one that fails, whatever else goes on', async () => {
    await start('2', { backends: 2 });
    const [first, second] = running.resources;
    first?.script({ kind: 'throttle', retryAfterMs: 300 });
    second?.always({ kind: 'status', status: 503 });
    const asked = ask();
    await until(isHolding(1));
    // Something else ends, and the line is looked at.
    await send(running.url + '/v1/embeddings', {
      body: JSON.stringify({ model: 'text-embedding-3-large', input: 'x' }),
    });
    const received = await asked;
    assert.equal(received.status, 200);
    assert.match(String(course(received).trace), /^openai1=429\(300ms\) openai2=503 held=\d+ms openai1=200$/);
    running.assertIdle();
  });

  it('asks the first again that is back before the last has refused', async () => {
    const upstream = await startHeldUpstream();
    try {
      await start('2', { backends: 1, settings: { BACKEND_2_URL: upstream.url, BACKEND_2_APIKEY: 'key-2' } });
      running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 20 });
      const asked = ask();
      const { res } = await upstream.next();
      const since = performance.now();
      await until(() => performance.now() - since > 40);
      res.writeHead(429, { 'retry-after-ms': '20000' }).end();
      const received = await asked;
      assert.equal(received.status, 200);
      assert.match(
        String(course(received).trace),
        /^openai1=429\(20ms\) openai2=429\(20000ms\) held=\d+ms openai1=200$/,
      );
      running.assertIdle();
    } finally {
      await upstream.close();
    }
  });

  it('lets newcomers wait behind those who wait', async () => {
    await start('2', { backends: 1 });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 250 });
    const first = ask();
    await until(isHolding(1));
    const second = ask();
    await until(isHolding(2));
    assert.deepEqual(callCounts(running), [1]);
    assert.deepEqual([(await first).status, (await second).status], [200, 200]);
    running.assertIdle();
  });

  it('lets a name that somebody else serves pass those who wait for the name that it is an alias of', async () => {
    await start('60', {
      backends: 2,
      settings: { DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini', BACKEND_2_DEPLOYMENTS: 'chat=gpt-5.4-mini' },
    });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 30_000 });
    const gone = new AbortController();
    const first = send(running.url + PATH, { body: chat(), signal: gone.signal }).catch(() => 'gone');
    await until(isHolding(1));
    const other = await send(running.url + PATH, { body: chat({ model: 'chat' }) });
    assert.equal(course(other).trace, 'openai2=200');
    assert.equal(running.balancer.hold.size, 1);
    gone.abort();
    await first;
  });

  it('lets the next go when the first has content, whatever the time', async () => {
    const upstream = await startHeldUpstream();
    const clock = manualClock();
    const manual = useManualTimers();
    timers = manual;
    const body = chat({ stream: true });
    const content = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n';
    try {
      await start('2', { backends: 0, clock: clock.now, settings: behind(upstream.url) });
      const first = send(running.url + PATH, { body });
      (await upstream.next()).res.writeHead(429, { 'retry-after-ms': '100' }).end();
      await until(isHolding(1));
      const second = send(running.url + PATH, { body });
      await until(isHolding(2));
      clock.advance(100);
      manual.advance(100);
      const one = await upstream.next();
      assert.equal(running.balancer.hold.size, 1);
      one.res.writeHead(200, { 'content-type': 'text/event-stream' });
      one.res.write(content);
      const other = await upstream.next();
      for (const { res } of [one, other]) res.end(`${content}data: [DONE]\n\n`);
      assert.deepEqual([(await first).isComplete, (await second).isComplete], [true, true]);
      running.assertIdle();
    } finally {
      await upstream.close();
    }
  });

  it('charges a client nothing who leaves while it waits', async () => {
    await start('60', { settings: { CLIENT_LIMITS: 'tester=100000tpm' } });
    throttleAll(30_000);
    const gone = new AbortController();
    const body = chat({ max_tokens: 50_000 });
    const asked = send(running.url + PATH, { body, signal: gone.signal }).catch(() => 'gone');
    await until(isHolding(1));
    const finished = running.event('request-finished');
    gone.abort();
    await asked;
    await finished;
    const other = await send(running.url + '/v1/embeddings', {
      body: JSON.stringify({ model: 'text-embedding-3-large', input: 'x' }),
    });
    assert.ok(Number(other.headers['x-ratelimit-remaining-tokens']) > 99_000);
  });

  it('forgets a caller who leaves while it waits', async () => {
    await start('60');
    throttleAll(30_000);
    const gone = new AbortController();
    const asked = send(running.url + PATH, { body: chat(), signal: gone.signal }).catch(() => 'gone');
    await until(isHolding(1));
    const finished = running.event('request-finished');
    gone.abort();
    assert.equal(await asked, 'gone');
    assert.equal((await finished).ending, 'abandoned');
    assert.equal(running.balancer.hold.size, 0);
    running.assertIdle();
  });

  it('holds streams alike, and the openai package sees nothing of it', async () => {
    await start('2');
    for (const resource of running.resources) {
      resource.script({ kind: 'throttle-in-stream', shape: 'error-event', retryAfterMs: 120 });
    }
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 0 });
    const stream = await client.responses.create({
      model: 'gpt-5.4-mini',
      input: 'Say hello.',
      stream: true,
      store: false,
    });
    let text = '';
    for await (const event of stream) if (event.type === 'response.output_text.delta') text += event.delta;
    assert.equal(text, 'openai1 answers: Say hello.');
    assert.deepEqual(callCounts(running), [2, 1, 1]);
    running.assertIdle();
  });
});
