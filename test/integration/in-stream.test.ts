// A throttle that hides inside a 200: Azure begins a stream before it knows whether there is quota.

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import OpenAI, { RateLimitError } from 'openai';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send } from '../support/http.ts';
import { behind, startHeldUpstream, type HeldUpstream } from '../support/held-upstream.ts';
import { answerOf, callCounts, course, statesOf } from '../support/observed.ts';

const RESPONSES = '/responses';
const ASKED = JSON.stringify({ model: 'gpt-5.4-mini', input: 'Say hello.', stream: true, store: false });

describe('a throttle inside a stream', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer();
  });
  afterEach(() => running.close());

  for (const shape of ['error-event', 'response-failed'] as const) {
    it(`of a response is answered by another backend (${shape}), byte for byte, and rests the first for as long as it said`, async () => {
      running.resources[0]?.script({ kind: 'throttle-in-stream', shape, retryAfterMs: 7000 });
      const received = await send(running.url + RESPONSES, { body: ASKED });
      assert.deepEqual([received.status, received.isComplete], [200, true]);
      assert.deepEqual(course(received), {
        backend: 'openai2',
        attempts: '2',
        trace: 'openai1=429(7000ms) openai2=200',
      });
      const text = received.body.toString();
      assert.equal(text.match(/"type":"response\.created"/g)?.length, 1);
      assert.doesNotMatch(text, /response\.failed|"type":"error"/);
      assert.match(text, /openai2 answers/);
      assert.deepEqual(statesOf(running), ['closed/cooldown', 'closed/closed', 'closed/closed']);
      assert.deepEqual(callCounts(running), [1, 1, 0]);
      running.assertIdle();
    });
  }

  it('of a chat is answered by another backend', async () => {
    running.resources[0]?.script({ kind: 'throttle-in-stream', shape: 'chat-error' });
    const received = await send(running.url + '/v1/chat/completions', { body: chat({ stream: true }) });
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(callCounts(running), [1, 1, 0]);
    running.assertIdle();
  });

  it('at every backend is an honest 429, with the earliest recovery', async () => {
    for (const [index, resource] of running.resources.entries()) {
      resource.script({ kind: 'throttle-in-stream', shape: 'error-event', retryAfterMs: 9000 - 1000 * index });
    }
    const received = await send(running.url + RESPONSES, { body: ASKED });
    assert.equal(received.status, 429);
    assert.equal(errorOf(received).code, 'all_backends_throttled');
    const waitMs = Number(received.headers['retry-after-ms']);
    assert.ok(waitMs > 6000 && waitMs <= 9000, `retry-after-ms ${waitMs}`);
    assert.deepEqual(callCounts(running), [1, 1, 1]);
    running.assertIdle();
  });

  it('is not seen by the openai package, which gets one clean stream', async () => {
    running.resources[0]?.script({ kind: 'throttle-in-stream', shape: 'response-failed' });
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 0 });
    const stream = await client.responses.create({
      model: 'gpt-5.4-mini',
      input: 'Say hello.',
      stream: true,
      store: false,
    });
    let text = '';
    const kinds: string[] = [];
    for await (const { type, ...event } of stream) {
      kinds.push(type);
      if ('delta' in event && typeof event.delta === 'string') text += event.delta;
    }
    assert.equal(text, 'openai2 answers: Say hello.');
    assert.deepEqual([kinds[0], kinds.at(-1)], ['response.created', 'response.completed']);
    running.assertIdle();
  });

  it('at every backend is the error that the openai package knows', async () => {
    for (const resource of running.resources) {
      resource.script({ kind: 'throttle-in-stream', shape: 'error-event', retryAfterMs: 90_000 });
    }
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY });
    await assert.rejects(
      client.responses.create({ model: 'gpt-5.4-mini', input: 'Say hello.', stream: true, store: false }),
      RateLimitError,
    );
    assert.deepEqual(callCounts(running), [1, 1, 1]);
  });
});

describe('a failure inside a stream, before its first content', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer();
  });
  afterEach(() => running.close());

  it('is answered by another backend, and blamed as a 500 is: one is forgiven', async () => {
    running.resources[0]?.script({ kind: 'error-mid-stream', afterChunks: 1 });
    const received = await send(running.url + RESPONSES, { body: ASKED });
    assert.equal(received.status, 200);
    assert.equal(course(received).trace, 'openai1=500 openai2=200');
    assert.match(received.body.toString(), /openai2 answers/);
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed', 'closed/closed']);
    running.assertIdle();
  });

  it('at every backend opens no breaker: one poison request must not', async () => {
    for (const resource of running.resources) resource.script({ kind: 'error-mid-stream', afterChunks: 1 });
    const received = await send(running.url + RESPONSES, { body: ASKED });
    assert.equal(received.status, 502);
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed', 'closed/closed']);
    assert.deepEqual(callCounts(running), [1, 1, 1]);
    running.assertIdle();
  });
});

describe('a stream whose beginning takes its time', () => {
  const CREATED = `event: response.created\ndata: ${JSON.stringify({ type: 'response.created', response: {} })}\n\n`;
  const REFUSED = `event: error\ndata: ${JSON.stringify({ type: 'error', error: { code: 'rate_limit_exceeded' } })}`;
  let upstream: HeldUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  for (const [what, end, headers, mostMs] of [
    ['with its blank line', '\n\n', { 'retry-after-ms': '4000' }, 6000],
    ['without its blank line', '\n', { 'retry-after-ms': '4000' }, 6000],
    // When the quota is full again, which a 200 says, is not when this refusal is over.
    ['that names no time', '\n\n', { 'x-ratelimit-remaining-tokens': '90000', 'x-ratelimit-reset-tokens': '60' }, 2000],
  ] as const) {
    it(`is still refused by an event that comes later (${what})`, async () => {
      upstream = await startHeldUpstream();
      running = await startBalancer({ backends: 0, settings: behind(upstream.url) });
      const asked = send(running.url + RESPONSES, { body: ASKED });
      const { res } = await upstream.next();
      res.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
      res.flushHeaders();
      for (let n = 0; n < 50; n += 1) await setImmediate();
      res.write(CREATED);
      for (let n = 0; n < 50; n += 1) await setImmediate();
      res.end(REFUSED + end);
      const received = await asked;
      assert.equal(received.status, 429);
      assert.ok(Number(received.headers['retry-after-ms']) <= mostMs);
      running.assertIdle();
    });
  }
});
