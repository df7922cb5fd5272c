// A stream that takes long to begin is begun here, so that nothing on the way gives up on it; and failover goes on.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import OpenAI, { APIError } from 'openai';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { behind, startHeldUpstream, type HeldRequest, type HeldUpstream } from '../support/held-upstream.ts';
import { chat, send } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';
import { startMuteServer } from '../support/mute-server.ts';
import { course, statesOf } from '../support/observed.ts';
import { useManualTimers } from '../support/manual-timers.ts';
import { open, type Reading } from '../support/reading.ts';
import { until, untilStill } from '../support/until.ts';

const RESPONSES = '/responses';
const ASKED = JSON.stringify({ model: 'gpt-5.4-mini', input: 'Say hello.', stream: true, store: false });
const CREATED = eventOf({ type: 'response.created', response: {} });
const TEXT = eventOf({ type: 'response.output_text.delta', delta: 'Hello.' });
const DONE = eventOf({ type: 'response.completed', response: {} });
const REFUSED = eventOf({ type: 'error', error: { code: 'rate_limit_exceeded' } });
const KEEP_ALIVE = ': keep-alive\n';

function eventOf(data: { readonly type: string; readonly [member: string]: unknown }): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The same, with so many tokens of an answer at most. */
function withMost(tokens: number): string {
  return JSON.stringify({ ...JSON.parse(ASKED), max_output_tokens: tokens });
}

/** All of an answer, at once. */
function answerWith({ res }: HeldRequest, text: string): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' }).end(text + DONE);
}

function withoutKeepAlives(text: string): string {
  return text.replaceAll(KEEP_ALIVE, '');
}

/** The intervals that run, of those begun from now on; `restore` puts the real functions back. */
function watchIntervals(): { readonly running: ReadonlySet<unknown>; restore(): void } {
  const real = { setInterval: globalThis.setInterval, clearInterval: globalThis.clearInterval };
  const running = new Set<unknown>();
  Object.assign(globalThis, {
    setInterval: (run: () => void, ms: number) => {
      const timer = real.setInterval(run, ms);
      running.add(timer);
      return timer;
    },
    clearInterval: (timer: NodeJS.Timeout | undefined) => {
      running.delete(timer);
      real.clearInterval(timer);
    },
  });
  return { running, restore: () => void Object.assign(globalThis, real) };
}

describe('a stream that takes long to begin', () => {
  let running: RunningBalancer;
  let upstreams: readonly HeldUpstream[];

  async function start(count: number, setup: BalancerSetup = {}): Promise<void> {
    upstreams = await Promise.all(Array.from({ length: count }, () => startHeldUpstream()));
    running = await startBalancer({
      backends: 0,
      ...setup,
      settings: { ...behind(...upstreams.map(({ url }) => url)), SSE_KEEPALIVE_SECONDS: '0.02', ...setup.settings },
    });
  }

  afterEach(async () => {
    await running.close();
    await Promise.all(upstreams.map((upstream) => upstream.close()));
  });

  function nextAt(index: number): Promise<HeldRequest> {
    const upstream = upstreams[index];
    assert.ok(upstream !== undefined);
    return upstream.next();
  }

  function streamFrom({ res }: HeldRequest, ...events: readonly string[]): void {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'x-ms-region': 'westus' });
    res.write(events.join(''));
  }

  function traceOf(): string {
    return running.events.find((event) => event.kind === 'request-finished')?.trace ?? '';
  }

  /** What is told of the latest request and of its last attempt. */
  function latest(): { readonly finished: readonly unknown[]; readonly outcome: unknown } {
    const finished = running.events.findLast((event) => event.kind === 'request-finished');
    const ended = running.events.findLast((event) => event.kind === 'attempt-ended');
    return { finished: [finished?.status, finished?.ending, finished?.code], outcome: ended?.outcome };
  }

  /** The answer has begun though no backend has answered. */
  async function opened(path = RESPONSES, body = ASKED): Promise<Reading> {
    const reading = await open(running.url + path, { body });
    await reading.came((text) => text.includes(KEEP_ALIVE));
    return reading;
  }

  it('is begun with keep-alives while the backend withholds its headers, and is then as the backend sends it', async () => {
    await start(1);
    const reading = await opened();
    assert.equal(reading.status, 200);
    assert.match(String(reading.headers['content-type']), /^text\/event-stream/);
    assert.equal(reading.headers['cache-control'], 'no-cache');
    assert.match(String(reading.headers['x-balancer-trace']), /^opened=\d+ms$/);
    await reading.came((text) => text.split(KEEP_ALIVE).length > 3);
    const asked = await nextAt(0);
    streamFrom(asked, CREATED, TEXT);
    asked.res.end(DONE);
    const received = await reading.done;
    assert.equal(received.isComplete, true);
    assert.equal(withoutKeepAlives(received.body.toString()), CREATED + TEXT + DONE);
    assert.match(traceOf(), /^opened=\d+ms openai1=200$/);
    running.assertIdle();
  });

  it('has one head only, however it goes on', async () => {
    await start(1);
    const reading = await opened();
    streamFrom(await nextAt(0), CREATED, TEXT);
    await reading.came((text) => text.includes('Hello.'));
    await reading.came((text) => text.endsWith(KEEP_ALIVE)); // Of the relay, after the first content.
    reading.leave();
    await until(() => running.balancer.admission.inFlight === 0);
    assert.equal(reading.text().match(/HTTP\/1\.1/g), null);
    running.assertIdle();
  });

  it('is answered by another backend when the first is throttled after all', async () => {
    await start(2);
    const reading = await opened();
    const first = await nextAt(0);
    streamFrom(first, CREATED);
    first.res.end(REFUSED);
    const second = await nextAt(1);
    streamFrom(second, CREATED, TEXT);
    second.res.end(DONE);
    const received = await reading.done;
    assert.equal(withoutKeepAlives(received.body.toString()), CREATED + TEXT + DONE);
    assert.match(traceOf(), /^opened=\d+ms openai1=429 openai2=200$/);
    running.assertIdle();
  });

  it('is answered by another backend when the first only told that it had begun, and broke off', async () => {
    await start(2);
    const asked = open(running.url + RESPONSES, { body: ASKED });
    const first = await nextAt(0);
    streamFrom(first, CREATED);
    const reading = await asked;
    assert.equal(reading.headers['x-ms-region'], undefined, 'the headers of a backend that may not answer');
    await reading.came((text) => text.includes(KEEP_ALIVE));
    first.res.destroy();
    const second = await nextAt(1);
    streamFrom(second, CREATED, TEXT);
    second.res.end(DONE);
    assert.equal(withoutKeepAlives((await reading.done).body.toString()), CREATED + TEXT + DONE);
    running.assertIdle();
  });

  it('is begun while it is held', async () => {
    await start(1, { settings: { MAX_HOLD_SECONDS: '2' } });
    const asked = opened();
    const first = await nextAt(0);
    first.res.writeHead(429, { 'retry-after-ms': '80' }).end();
    const reading = await asked;
    const second = await nextAt(0);
    streamFrom(second, TEXT);
    second.res.end(DONE);
    assert.equal(withoutKeepAlives((await reading.done).body.toString()), TEXT + DONE);
    assert.match(traceOf(), /^openai1=429\(80ms\) opened=\d+ms held=\d+ms openai1=200$/);
    running.assertIdle();
  });

  it('ends with an error in-band, and not as if it were whole, when nobody answers', async () => {
    await start(1);
    const reading = await opened();
    (await nextAt(0)).res.writeHead(429, { 'retry-after-ms': '9000' }).end();
    const received = await reading.done;
    assert.equal(received.isComplete, false);
    const [event = ''] = withoutKeepAlives(received.body.toString()).split('\n\n');
    assert.match(event, /^event: error\ndata: \{"type":"error","error":\{.*"code":"all_backends_throttled"/);
    const finished = running.events.find((told) => told.kind === 'request-finished');
    assert.ok(finished?.kind === 'request-finished');
    assert.deepEqual([finished.status, finished.ending, finished.code], [200, 'broken', 'all_backends_throttled']);
    running.assertIdle();
  });

  for (const [status, what] of [
    [400, 'a refusal'],
    [500, 'a failure that no other backend is there for'],
  ] as const) {
    it(`tells ${what} in the backend's own words, in-band`, async () => {
      await start(1);
      const error = { code: 'its_own', message: 'Two\nlines.', innererror: { code: 'inner' } };
      const reading = await opened();
      (await nextAt(0)).res
        .writeHead(status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error }, null, 2));
      const received = await reading.done;
      assert.equal(received.isComplete, false);
      const text = withoutKeepAlives(received.body.toString());
      assert.equal(text, `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n`);
      // That is no error of ours, and the stream had begun with 200.
      assert.deepEqual(latest().finished, [200, 'broken', undefined]);
      running.assertIdle();
    });
  }

  it('says so, in-band, when what the backend gives is no stream', async () => {
    await start(1);
    for (const [status, body, type = 'application/json'] of [
      [200, '{"object":"response"}'],
      [204, ''],
      [204, '', 'text/event-stream'],
      [302, ''],
      [302, TEXT, 'text/event-stream'],
      [404, 'Not here.'],
      [404, 'null'],
      [404, '{"error":"a text"}'],
      [404, TEXT, 'text/event-stream'],
    ] as const) {
      const reading = await opened();
      (await nextAt(0)).res.writeHead(status, { 'content-type': type }).end(body);
      const received = await reading.done;
      assert.equal(received.isComplete, false);
      assert.match(received.body.toString(), /"code":"answer_not_streamed","message":"The backend answered \d{3},/);
      assert.deepEqual(latest().finished, [200, 'broken', 'answer_not_streamed']);
      // What it says of the deployment is another matter.
      if (status !== 404) assert.deepEqual(latest().outcome, { kind: 'served', status });
      running.assertIdle();
    }
  });

  it('is told to be refused, not served, when that is what the backend did', async () => {
    await start(1);
    const reading = await opened();
    (await nextAt(0)).res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"code":"bad"}}');
    await reading.done;
    assert.deepEqual(latest().outcome, { kind: 'refused', status: 400 });
  });

  it('keeps the reason of a refusal that is compressed', async () => {
    await start(1);
    const error = { code: 'its_own', message: 'Why.' };
    const reading = await opened();
    (await nextAt(0)).res
      .writeHead(400, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      .end(gzipSync(JSON.stringify({ error })));
    const text = withoutKeepAlives((await reading.done).body.toString());
    assert.equal(text, `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n`);
    running.assertIdle();
  });

  it('leaves no backend with an answer that nobody reads', async () => {
    await start(1, { handlerLimits: { holdBytes: 10 } });
    const reading = await opened();
    const { res } = await nextAt(0);
    const left = once(res, 'close');
    res.writeHead(200, { 'content-type': 'application/json' });
    res.write(`{"object":"response"}${' '.repeat(100)}`);
    await left;
    assert.match((await reading.done).body.toString(), /"code":"answer_not_streamed"/);
    running.assertIdle();
  });

  it('blames nobody for a 500 when another refuses the request: it may be the request', async () => {
    await start(2);
    const reading = await opened();
    (await nextAt(0)).res.writeHead(500, { 'content-type': 'application/json' }).end('{}');
    (await nextAt(1)).res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"code":"bad"}}');
    await reading.done;
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
  });

  it('has no byte order mark where it was begun here, and keeps it where it was not', async () => {
    await start(1, { settings: { SSE_KEEPALIVE_SECONDS: '0.3' } });
    const asked = open(running.url + RESPONSES, { body: ASKED });
    const first = await nextAt(0);
    streamFrom(first, `\uFEFF${TEXT}`);
    first.res.end(DONE);
    assert.equal((await (await asked).done).body.toString(), `\uFEFF${TEXT}${DONE}`);
    const reading = await opened();
    const second = await nextAt(0);
    streamFrom(second, `\uFEFF${TEXT}`);
    second.res.end(DONE);
    assert.equal(withoutKeepAlives((await reading.done).body.toString()), TEXT + DONE);
    running.assertIdle();
  });

  it('is an error that the openai package throws', async () => {
    await start(1);
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 0 });
    const stream = await client.responses.create({
      model: 'gpt-5.4-mini',
      input: 'Say hello.',
      stream: true,
      store: false,
    });
    (await nextAt(0)).res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"code":"bad"}}');
    await assert.rejects(
      async () => {
        for await (const event of stream) assert.fail(event.type);
      },
      (error) => error instanceof APIError && error.code === 'bad',
    );
  });

  it('cancels the backend when its caller leaves, and blames nobody', async () => {
    await start(2);
    const reading = await opened();
    const { res } = await nextAt(0);
    const cancelled = new Promise((resolve) => res.on('close', resolve));
    reading.leave();
    await cancelled;
    await until(() => running.balancer.admission.inFlight === 0);
    assert.deepEqual([upstreams[0]?.requests.length, upstreams[1]?.requests.length], [1, 0]);
    running.assertIdle();
  });

  it('sends no keep-alives any more when its caller has left', async () => {
    await start(1);
    const intervals = watchIntervals();
    try {
      const reading = await opened();
      assert.equal(intervals.running.size, 1);
      const finished = running.event('request-finished');
      reading.leave();
      assert.equal((await finished).ending, 'abandoned');
      assert.equal(intervals.running.size, 0);
    } finally {
      intervals.restore();
    }
  });

  it('is the last on its connection when the balancer shuts down', async () => {
    await start(1, { settings: { SSE_KEEPALIVE_SECONDS: '0.3' } });
    const asked = open(running.url + RESPONSES, { body: ASKED, headers: { connection: 'keep-alive' } });
    const { res } = await nextAt(0);
    const drained = running.balancer.drain.begin(running.balancer, { graceMs: 0, totalMs: 10_000 });
    const reading = await asked;
    assert.equal(reading.headers.connection, 'close');
    streamFrom({ path: '', headers: {}, body: Buffer.alloc(0), res }, TEXT);
    res.end(DONE);
    assert.equal((await reading.done).isComplete, true);
    await drained;
  });

  it('is told in-band that the balancer shuts down', async () => {
    await start(1);
    const reading = await opened();
    await running.balancer.drain.begin(running.balancer, { graceMs: 0, totalMs: 1 });
    const received = await reading.done;
    assert.match(received.body.toString(), /"code":"stream_drained"/);
    assert.equal(received.isComplete, false);
  });

  it('is charged nothing to a client with limits when nobody answered it', async () => {
    await start(1, { settings: { CLIENT_LIMITS: 'tester=1000tpm' } });
    const reading = await opened();
    (await nextAt(0)).res.writeHead(429, { 'retry-after-ms': '1' }).end();
    await reading.done;
    const again = send(running.url + RESPONSES, { body: ASKED });
    const asked = await nextAt(0);
    streamFrom(asked, TEXT);
    asked.res.end(DONE);
    const name = 'x-ratelimit-remaining-tokens';
    assert.match(String(reading.headers[name]), /^\d+$/);
    assert.equal((await again).headers[name], reading.headers[name]);
  });

  for (const [what, status, body, used] of [
    ['nothing when it was refused', 400, '{"error":{"code":"bad"}}', 0],
    ['what an answer that was no stream used', 200, '{"usage":{"input_tokens":10,"output_tokens":20}}', 30],
  ] as const) {
    it(`is charged ${what} to a client with limits`, async () => {
      await start(1, { settings: { CLIENT_LIMITS: 'tester=1000tpm' } });
      const asked = JSON.stringify({ ...JSON.parse(ASKED), max_output_tokens: 100 });
      const left = ({ headers }: Reading): number => Number(headers['x-ratelimit-remaining-tokens']);
      const first = await opened(RESPONSES, asked);
      (await nextAt(0)).res.writeHead(status, { 'content-type': 'application/json' }).end(body);
      await first.done;
      const second = await opened(RESPONSES, asked);
      // To a few of them, which a minute gives back while the test runs.
      assert.ok(Math.abs(left(first) - used - left(second)) < 5, `${left(first)}, then ${left(second)}`);
      second.leave();
    });
  }

  it('is a chat, a completion or a response', async () => {
    await start(1);
    for (const [path, body] of [
      ['/chat/completions', chat({ stream: true })],
      ['/completions', JSON.stringify({ model: 'gpt-5.4-mini', prompt: 'x', stream: true })],
      [RESPONSES, ASKED],
    ] as const) {
      const reading = await opened(path, body);
      (await nextAt(0)).res.destroy();
      await reading.done;
    }
  });

  it('is never begun for what is not streamed', async () => {
    await start(1);
    for (const [path, body] of [
      ['/chat/completions', chat()],
      ['/embeddings', JSON.stringify({ model: 'gpt-5.4-mini', input: 'x', stream: true })],
    ] as const) {
      let hasBegun = false;
      const asked = send(running.url + path, { body, onData: () => (hasBegun = true) });
      const slow = await nextAt(0);
      // As long as another one, which is begun.
      const other = await opened();
      const { res } = await nextAt(0);
      assert.equal(hasBegun, false);
      slow.res.writeHead(201, { 'content-type': 'application/json' }).end('{}');
      const received = await asked;
      assert.deepEqual([received.status, received.body.toString()], [201, '{}']);
      streamFrom({ ...slow, res }, TEXT);
      res.end(DONE);
      await other.done;
    }
    running.assertIdle();
  });

  it('adds nothing to an answer that is no stream and takes its time', async () => {
    await start(1, { handlerLimits: { holdBytes: 10 } });
    const asked = open(running.url + RESPONSES, { body: ASKED });
    const { res } = await nextAt(0);
    const text = `{"object":"response"}${' '.repeat(100)}`;
    res.writeHead(200, { 'content-type': 'application/json' });
    res.write(text);
    const reading = await asked;
    // As long as another one takes to be begun.
    const other = await opened();
    other.leave();
    res.end(text);
    const received = await reading.done;
    assert.deepEqual([received.isComplete, received.body.toString()], [true, text + text]);
  });

  it('is begun for a backend that streams what nobody knew would be', async () => {
    await start(1);
    const asked = open(`${running.url}/responses/resp_1?stream=true`);
    const { res } = await nextAt(0);
    streamFrom({ path: '', headers: {}, body: Buffer.alloc(0), res }, CREATED);
    const reading = await asked;
    await reading.came((text) => text.includes(KEEP_ALIVE));
    res.end(TEXT + DONE);
    assert.equal(withoutKeepAlives((await reading.done).body.toString()), CREATED + TEXT + DONE);
    running.assertIdle();
  });
});

describe('the time to the first token', () => {
  let running: RunningBalancer;
  let upstreams: readonly HeldUpstream[];
  beforeEach(() => start());
  afterEach(stop);

  async function start(settings: Readonly<Record<string, string>> = {}, setup: BalancerSetup = {}): Promise<void> {
    upstreams = await Promise.all([startHeldUpstream(), startHeldUpstream()]);
    running = await startBalancer({
      backends: 0,
      ...setup,
      settings: { ...behind(...upstreams.map(({ url }) => url)), FIRST_TOKEN_TIMEOUT_SECONDS: '0.05', ...settings },
    });
  }

  async function stop(): Promise<void> {
    await running.close();
    await Promise.all(upstreams.map((upstream) => upstream.close()));
  }

  const at = (index: number): HeldUpstream => {
    const upstream = upstreams[index];
    assert.ok(upstream !== undefined);
    return upstream;
  };

  for (const [what, begin] of [
    ['is silent', () => undefined],
    [
      'only tells that it has begun',
      ({ res }: HeldRequest) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write(CREATED);
      },
    ],
  ] as const) {
    it(`is another backend's chance when it is over, for one that ${what}`, async () => {
      const asked = send(running.url + RESPONSES, { body: ASKED });
      const first = await at(0).next();
      const left = new Promise((resolve) => first.res.on('close', resolve));
      begin(first);
      const second = await at(1).next();
      await left;
      second.res.writeHead(200, { 'content-type': 'text/event-stream' }).end(CREATED + TEXT + DONE);
      const received = await asked;
      assert.equal(received.body.toString(), CREATED + TEXT + DONE);
      assert.equal(received.headers['x-balancer-trace'], 'openai1=first-token-timeout openai2=200');
      running.assertIdle();
    });
  }

  it('begins with the request, not with the headers', async () => {
    await stop();
    const timers = useManualTimers();
    try {
      await start({ FIRST_TOKEN_TIMEOUT_SECONDS: '60', SSE_KEEPALIVE_SECONDS: '3600' });
      const asked = send(running.url + RESPONSES, { body: ASKED });
      const { res } = await at(0).next();
      timers.advance(30_000);
      const headers = { 'content-type': 'text/event-stream', 'x-ratelimit-remaining-tokens': '900' };
      res.writeHead(200, headers).write(CREATED);
      await until(() => running.balancer.pool.snapshot(0).backends[0]?.deployments[0]?.quota?.remainingTokens === 900);
      timers.advance(30_000);
      answerWith(await at(1).next(), TEXT);
      assert.equal((await asked).headers['x-balancer-trace'], 'openai1=first-token-timeout openai2=200');
    } finally {
      timers.restore();
    }
  });

  it('goes on while nobody else can be asked, and is over when somebody can', async () => {
    await stop();
    const timers = useManualTimers();
    const clock = manualClock();
    try {
      await start({ FIRST_TOKEN_TIMEOUT_SECONDS: '60' }, { clock: clock.now });
      const asked = send(running.url + RESPONSES, { body: ASKED });
      await at(0).next();
      // The other is known to be throttled only after this one was asked.
      const throttled = send(running.url + RESPONSES, { body: ASKED });
      (await at(1).next()).res.writeHead(429, { 'retry-after-ms': '90000' }).end('{}');
      answerWith(await at(0).next(), TEXT);
      assert.equal(course(await throttled).trace, 'openai2=429(90000ms) openai1=200');
      timers.advance(60_000);
      assert.equal(await untilStill(() => at(1).requests.length), 1);
      clock.advance(90_000);
      timers.advance(1000);
      answerWith(await at(1).next(), TEXT);
      assert.equal(course(await asked).trace, 'openai1=first-token-timeout openai2=200');
      assert.equal(timers.pending, 0);
      running.assertIdle();
    } finally {
      timers.restore();
    }
  });

  it('is over too when the other has refused something larger only', async () => {
    await stop();
    const timers = useManualTimers();
    try {
      await start({ FIRST_TOKEN_TIMEOUT_SECONDS: '60' });
      const asked = send(running.url + RESPONSES, { body: withMost(10) });
      await at(0).next();
      const large = send(running.url + RESPONSES, { body: withMost(5000) });
      const left = { 'x-ratelimit-limit-tokens': '10000', 'x-ratelimit-remaining-tokens': '1000' };
      (await at(1).next()).res.writeHead(429, { ...left, 'retry-after-ms': '90000' }).end('{}');
      answerWith(await at(0).next(), TEXT);
      await large;
      timers.advance(60_000);
      answerWith(await at(1).next(), TEXT);
      assert.equal(course(await asked).trace, 'openai1=first-token-timeout openai2=200');
      running.assertIdle();
    } finally {
      timers.restore();
    }
  });

  it('makes nobody lose the answer: who was given up is asked again when all others refuse', async () => {
    await stop();
    const timers = useManualTimers();
    try {
      await start({ FIRST_TOKEN_TIMEOUT_SECONDS: '60' });
      const asked = send(running.url + RESPONSES, { body: ASKED });
      await at(0).next();
      timers.advance(60_000);
      (await at(1).next()).res.writeHead(429, { 'retry-after-ms': '60000' }).end('{}');
      const again = await at(0).next();
      // Later than it was given up the first time.
      timers.advance(70_000);
      await untilStill(() => at(0).requests.length + at(1).requests.length);
      answerWith(again, TEXT);
      const received = await asked;
      assert.equal(received.body.toString(), TEXT + DONE);
      assert.equal(course(received).trace, 'openai1=first-token-timeout openai2=429(60000ms) openai1=200');
      assert.equal(timers.pending, 0);
      running.assertIdle();
    } finally {
      timers.restore();
    }
  });

  it('is no reason to ask anybody a third time: when the slow one fails then, the refusal is told', async () => {
    const asked = send(running.url + RESPONSES, { body: ASKED });
    await at(0).next();
    (await at(1).next()).res.writeHead(429, { 'retry-after-ms': '60000' }).end('{}');
    (await at(0).next()).res.writeHead(503).end('{}');
    const received = await asked;
    const trace = 'openai1=first-token-timeout openai2=429(60000ms) openai1=503';
    assert.deepEqual([received.status, course(received).trace], [429, trace]);
    assert.deepEqual([at(0).requests.length, at(1).requests.length], [2, 1]);
    running.assertIdle();
  });

  it('is no blame for a model when it is the host that is not reached', async () => {
    const mute = await startMuteServer();
    await stop();
    await start({ BACKEND_1_URL: mute.url, CONNECT_TIMEOUT_SECONDS: '10' });
    const asked = send(running.url + RESPONSES, { body: ASKED });
    answerWith(await at(1).next(), TEXT);
    assert.equal(course(await asked).trace, 'openai1=connect openai2=200');
    assert.deepEqual(statesOf(running), ['open/closed', 'closed/closed']);
    await mute.close();
  });

  it('is no end for the last that can be asked: a slow answer is better than none', async () => {
    await stop();
    await start({ SSE_KEEPALIVE_SECONDS: '0.06' });
    const throttled = send(running.url + RESPONSES, { body: ASKED });
    (await at(0).next()).res.writeHead(429, { 'retry-after-ms': '60000' }).end('{}');
    answerWith(await at(1).next(), TEXT);
    await throttled;
    const asked = open(running.url + RESPONSES, { body: ASKED });
    const { res } = await at(1).next();
    const reading = await asked;
    // That is later than it would have been given up.
    await reading.came((text) => text.includes(KEEP_ALIVE));
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end(TEXT + DONE);
    assert.equal(withoutKeepAlives((await reading.done).body.toString()), TEXT + DONE);
    running.assertIdle();
  });

  it('does not matter any more after the first content', async () => {
    const reading = open(running.url + RESPONSES, { body: ASKED });
    const { res } = await at(0).next();
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write(TEXT);
    const begun = await reading;
    // Another one, asked later, has its time over before this one ends.
    const other = send(running.url + RESPONSES, { body: ASKED });
    const [, last] = [await at(1).next(), await at(0).next()];
    answerWith(last, TEXT);
    await other;
    res.end(DONE);
    assert.equal((await begun.done).body.toString(), TEXT + DONE);
    running.assertIdle();
  });

  it('does not matter to what is not streamed, nor to what creates something', async () => {
    const bodies = [chat(), JSON.stringify({ model: 'gpt-5.4-mini', input: 'x', stream: true, background: true })];
    const asked = [
      send(`${running.url}/chat/completions`, { body: bodies[0] ?? '' }),
      send(`${running.url}/responses`, { body: bodies[1] ?? '' }),
    ];
    const held = [await at(0).next(), await at(1).next()];
    // Its time is over for one that was asked after them.
    const late = send(running.url + RESPONSES, { body: ASKED });
    const [one, other] = [at(0).next(), at(1).next()];
    const { res: last } = await Promise.all([one, other]).then(([, second]) => second);
    last.writeHead(200, { 'content-type': 'text/event-stream' }).end(TEXT + DONE);
    assert.equal((await late).headers['x-balancer-trace'], 'openai1=first-token-timeout openai2=200');
    for (const { res } of held) res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    for (const received of await Promise.all(asked)) {
      assert.deepEqual([received.status, received.headers['x-balancer-attempts']], [200, '1']);
    }
    running.assertIdle();
  });
});
