// Streams: the backend's own bytes, at once, in whole events; and whatever breaks after the first of them is told
// in-band, never as a clean end.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { HandlerLimits } from '../../app/src/proxy/handler-deps.ts';
import type { Fault } from '../../simulator/scenario.ts';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { behind, startHeldUpstream, type HeldUpstream } from '../support/held-upstream.ts';
import { chat, send, type Received } from '../support/http.ts';
import { answerOf, callCounts, course, eventsIn, hasNoOpenRequests, statesOf } from '../support/observed.ts';
import { open, type Reading } from '../support/reading.ts';
import { until, untilStill } from '../support/until.ts';

const PATH = '/v1/chat/completions';
const STREAM = chat({ stream: true });
const KEEP_ALIVE = ': keep-alive\n';

/** An error as the last event; the members are what both generations of SDK look for. */
function lastError(text: string): { readonly code: string; readonly type: string } {
  const match = /(?:^|\n\n|: keep-alive\n)event: error\ndata: (\{.*\})\n\n$/.exec(text);
  assert.ok(match?.[1] !== undefined, `no error event at the end of ${JSON.stringify(text.slice(-300))}`);
  const data: { type: string; error: { code: string; message: string; type: string } } = JSON.parse(match[1]);
  assert.equal(data.type, 'error');
  assert.ok(data.error.message.endsWith('.'));
  return { code: data.error.code, type: data.error.type };
}

/** What the backend sent, without what an in-band error added. */
function withoutError(text: string): string {
  return text.replace(/event: error\ndata: .*\n\n$/, '');
}

describe('streaming from a simulated resource', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  it('passes each event on as it comes, from the first content on', async () => {
    running = await startBalancer();
    for (const count of [2, 3, 5]) {
      running.resources[0]?.script({ kind: 'stall', afterChunks: count });
      const reading = await open(running.url + PATH, { body: STREAM });
      await reading.came((text) => eventsIn(text).length === count);
      assert.equal(running.resources[0]?.openRequests, 1);
      const finished = running.event('request-finished');
      reading.leave();
      await finished;
      await until(() => hasNoOpenRequests(running));
    }
    running.assertIdle();
  });

  it('passes events on at the pace at which they come', async () => {
    running = await startBalancer({ resource: () => ({ chunkDelayMs: 5 }) });
    const pieces: string[] = [];
    const received = await send(running.url + PATH, { body: STREAM, onData: (piece) => pieces.push(piece.toString()) });
    assert.equal(answerOf(received), 'openai1 answers: Say hello.');
    assert.equal(pieces.length, eventsIn(received.body.toString()).length);
    for (const piece of pieces) assert.match(piece, /^data: [^\n]*\n\n$/);
    running.assertIdle();
  });

  it('hands the headers of a stream on, and no length', async () => {
    running = await startBalancer();
    const { headers } = await send(running.url + PATH, { body: STREAM });
    assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
    assert.equal(headers['x-accel-buffering'], 'no');
    assert.equal(headers['content-length'], undefined);
    assert.equal(headers['transfer-encoding'], 'chunked');
    assert.equal(headers['strict-transport-security'], undefined);
    assert.match(String(headers['apim-request-id']), /^[0-9a-f-]{36}$/);
  });

  interface Break {
    readonly name: string;
    readonly fault: Fault;
    readonly events: number;
    readonly code: 'stream_broken' | 'stream_idle';
    readonly cause: 'reset' | 'idle';
    readonly limits?: Partial<HandlerLimits>;
  }
  const breaks: readonly Break[] = [
    ...[2, 4, 9].map((n): Break => ({
      name: `a reset after event ${n}`,
      fault: { kind: 'reset-mid-stream', afterChunks: n },
      events: n,
      code: 'stream_broken',
      cause: 'reset',
    })),
    ...[2, 4].map((n): Break => ({
      name: `a reset in the middle of event ${n + 1}`,
      fault: { kind: 'reset-mid-stream', afterChunks: n, midEvent: true },
      events: n,
      code: 'stream_broken',
      cause: 'reset',
    })),
    ...[2, 4].map((n): Break => ({
      name: `an orderly end of the connection after event ${n}`,
      fault: { kind: 'truncated', afterChunks: n },
      events: n,
      code: 'stream_broken',
      cause: 'reset',
    })),
    ...[2, 4].map((n): Break => ({
      name: `silence after event ${n}`,
      fault: { kind: 'stall', afterChunks: n },
      events: n,
      code: 'stream_idle',
      cause: 'idle',
      limits: { idleMs: 100 },
    })),
  ];
  for (const { name, fault, events, code, cause, limits = {} } of breaks) {
    for (const before of [0, 1, 2]) {
      it(`tells of ${name} in-band, after ${before} failovers`, async () => {
        running = await startBalancer({ handlerLimits: limits });
        for (const resource of running.resources.slice(0, before)) resource.script({ kind: 'status', status: 503 });
        running.resources[before]?.script(fault);
        const ended = running.event('request-finished');
        const received = await send(running.url + PATH, { body: STREAM });
        const text = received.body.toString();
        assert.equal(received.status, 200);
        assert.equal(received.isComplete, false);
        assert.deepEqual(lastError(text), { code, type: 'server_error' });
        assert.equal(eventsIn(withoutError(text)).length, events);
        assert.match(withoutError(text), /^(data: [^\n]*\n\n)+$/);
        const backend = `openai${before + 1}`;
        assert.equal(course(received).backend, backend);
        const { ending, trace } = await ended;
        assert.equal(ending, 'broken');
        assert.equal(trace, course(received).trace);
        const attempt = running.events.findLast((event) => event.kind === 'attempt-ended');
        assert.deepEqual(attempt?.outcome, { kind: 'broken', cause });
        assert.deepEqual(
          callCounts(running),
          [0, 1, 2].map((index) => (index <= before ? 1 : 0)),
        );
        assert.deepEqual(
          statesOf(running),
          [0, 1, 2].map((index) => (index < before ? 'closed/open' : 'closed/closed')),
        );
        await until(() => hasNoOpenRequests(running));
        running.assertIdle();
      });
    }
  }

  for (const [what, fault] of [
    ['a reset after an event without content', { kind: 'reset-mid-stream', afterChunks: 1 }],
    ['a reset in the middle of the first content', { kind: 'reset-mid-stream', afterChunks: 1, midEvent: true }],
    ['an orderly end of the connection before any content', { kind: 'truncated', afterChunks: 1 }],
  ] as const) {
    it(`asks another backend after ${what}, and the caller gets one whole stream`, async () => {
      running = await startBalancer();
      running.resources[0]?.script(fault);
      const received = await send(running.url + PATH, { body: STREAM });
      assert.deepEqual([received.status, received.isComplete], [200, true]);
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.deepEqual(callCounts(running), [1, 1, 0]);
      assert.equal(course(received).backend, 'openai2');
      running.assertIdle();
    });
  }

  it('never ends a large JSON answer that broke as if it were whole', async () => {
    running = await startBalancer();
    const upstream = await startHeldUpstream();
    const alone = await startBalancer({ backends: 0, settings: behind(upstream.url) });
    try {
      for (const headers of [{ 'content-length': '200000' }, { 'transfer-encoding': 'chunked' }]) {
        const asked = send(alone.url + PATH, { body: chat() });
        const { res } = await upstream.next();
        res.writeHead(200, { 'content-type': 'application/json', ...headers });
        await new Promise<void>((resolve) => void res.write('x'.repeat(150_000), () => resolve()));
        res.socket?.destroySoon();
        const received = await asked;
        assert.equal(received.status, 200);
        assert.equal(received.isComplete, false);
        assert.equal(received.body.toString(), 'x'.repeat(150_000));
      }
      alone.assertIdle();
    } finally {
      await alone.close();
      await upstream.close();
    }
  });

  it('passes a compressed stream on as the bytes it is', async () => {
    running = await startBalancer();
    running.resources[0]?.script({ kind: 'gzip' });
    const received = await send(running.url + PATH, { body: STREAM });
    assert.equal(received.headers['content-encoding'], 'gzip');
    assert.equal(received.isComplete, true);
    assert.deepEqual([...received.body.subarray(0, 2)], [0x1f, 0x8b]);
    running.assertIdle();
  });
});

describe('streaming byte for byte', () => {
  let upstream: HeldUpstream;
  let running: RunningBalancer;

  async function start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    upstream = await startHeldUpstream();
    running = await startBalancer({ backends: 0, settings: { ...behind(upstream.url), ...settings } });
  }

  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  /** Asks for a stream; resolves when the backend has the request. */
  async function begin(): Promise<{ readonly res: ServerResponse; readonly reading: Promise<Reading> }> {
    const reading = open(running.url + PATH, { body: STREAM });
    const { res } = await upstream.next();
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    return { res, reading };
  }

  async function pass(pieces: readonly Buffer[]): Promise<Received> {
    const { res, reading } = await begin();
    for (const piece of pieces) await write(res, piece);
    res.end();
    return (await reading).done;
  }

  const LF =
    'event: a\ndata: {"x":"é 漢 😀"}\n\n: a comment\n\ndata: one\ndata: two\nid: 7\nretry: 10\n\ndata: [DONE]\n\n';
  const streams: readonly (readonly [string, string])[] = [
    ['events that end with LF', LF],
    ['events that end with CRLF', LF.replaceAll('\n', '\r\n')],
    ['events that end with both in turn', LF.replaceAll('\n\n', '\r\n\n')],
    ['events that end with CR alone', LF.replaceAll('\n', '\r')],
    ['a last event without its blank line', LF.trimEnd()],
    ['a stream that begins with blank lines and a byte order mark', `\u{feff}\n\n\r\n\n${LF}`],
    ['bytes that are no events at all', '\n\n\n\0\u0001 nothing \r\r\n'],
  ];
  for (const [what, text] of streams) {
    it(`passes ${what} on unchanged, cut at every byte`, async () => {
      await start();
      const bytes = Buffer.from(text);
      for (let at = 1; at < bytes.length; at += 1) {
        const received = await pass([bytes.subarray(0, at), bytes.subarray(at)]);
        assert.equal(received.body.toString('latin1'), bytes.toString('latin1'), `cut at ${at}`);
        assert.equal(received.isComplete, true);
      }
      running.assertIdle();
    });

    it(`passes ${what} on unchanged, byte by byte`, async () => {
      await start();
      const bytes = Buffer.from(text);
      const received = await pass(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)));
      assert.equal(received.body.toString('latin1'), bytes.toString('latin1'));
      assert.equal(received.isComplete, true);
      running.assertIdle();
    });
  }

  for (const [framing, headers] of [
    ['with its length', {}],
    ['chunked', { 'transfer-encoding': 'chunked' }],
  ] as const) {
    it(`passes a stream that comes in one piece with its end on, to its end (${framing})`, async () => {
      await start();
      const reading = open(running.url + PATH, { body: STREAM });
      const { res } = await upstream.next();
      // Headers, body and end in one write, as from something on the way that gathers streams.
      res.writeHead(200, { 'content-type': 'text/event-stream', ...headers }).end(LF);
      const received = await (await reading).done;
      assert.equal(received.body.toString(), LF);
      assert.equal(received.isComplete, true);
      running.assertIdle();
    }).timeout(3000);

    it(`passes an empty stream on, to its end (${framing})`, async () => {
      await start();
      const reading = open(running.url + PATH, { body: STREAM });
      const { res } = await upstream.next();
      res.writeHead(200, { 'content-type': 'text/event-stream', ...headers }).end();
      const received = await (await reading).done;
      assert.equal(received.body.length, 0);
      assert.equal(received.isComplete, true);
      running.assertIdle();
    }).timeout(3000);

    it(`passes whole answers of every size around what is held on, to their end (${framing})`, async () => {
      await start();
      for (const kib of [1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 256]) {
        for (const more of [-300, -1, 0, 1, 300]) {
          const body = Buffer.alloc(kib * 1024 + more, 'x');
          const asked = send(running.url + PATH, { body: chat() });
          const { res } = await upstream.next();
          res.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body);
          const received = await asked;
          assert.ok(received.body.equals(body), `${body.length} bytes`);
          assert.equal(received.isComplete, true);
        }
      }
      running.assertIdle();
    }).timeout(5000);
  }

  it('passes binary data on unchanged', async () => {
    await start();
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7919) % 256));
    const asked = send(`${running.url}/v1/audio/speech`, { body: '{"model":"tts"}' });
    const { res } = await upstream.next();
    res.writeHead(200, { 'content-type': 'audio/mpeg' }).end(bytes);
    const received = await asked;
    assert.ok(received.body.equals(bytes));
    assert.equal(received.isComplete, true);
    running.assertIdle();
  });

  it('gives out an event as soon as its blank line came, and nothing before', async () => {
    await start();
    const { res, reading: opened } = await begin();
    await write(res, 'data: 1\n\nda');
    const reading = await opened;
    await reading.came((text) => text === 'data: 1\n\n');
    for (const [piece, so] of [
      ['ta: 2\n', 'data: 1\n\n'],
      ['\ndata: 3\r\n\r', 'data: 1\n\ndata: 2\n\n'],
      ['\ndata: 4\n\ndata: 5', 'data: 1\n\ndata: 2\n\ndata: 3\r\n\r\ndata: 4\n\n'],
    ] as const) {
      await write(res, piece);
      await reading.came((text) => text === so);
    }
    res.end('\n\n');
    const received = await reading.done;
    assert.equal(received.body.toString(), 'data: 1\n\ndata: 2\n\ndata: 3\r\n\r\ndata: 4\n\ndata: 5\n\n');
    running.assertIdle();
  });

  it('gives out an event whose lines end with CR alone as soon as its blank line came', async () => {
    await start();
    const { res, reading: opened } = await begin();
    await write(res, 'data: 1\r\rdata: 2\r');
    const reading = await opened;
    await reading.came((text) => text === 'data: 1\r\r');
    await write(res, '\r');
    await reading.came((text) => text === 'data: 1\r\rdata: 2\r\r');
    await write(res, 'data: 3');
    res.socket?.destroySoon();
    const received = await reading.done;
    assert.equal(received.isComplete, false);
    assert.match(
      received.body.toString(),
      /^data: 1\r\rdata: 2\r\revent: error\ndata: \{[^\n]*"code":"stream_broken"[^\n]*\}\n\n$/,
    );
    running.assertIdle();
  });

  it('gives out an event whose blank line is a CR after LF as soon as no LF follows it', async () => {
    await start();
    const { res, reading: opened } = await begin();
    await write(res, 'data: 0\n\ndata: 1\n\r');
    const reading = await opened;
    await reading.came((text) => text === 'data: 0\n\n');
    await write(res, 'data: 2');
    await reading.came((text) => text === 'data: 0\n\ndata: 1\n\r');
    res.end();
    assert.equal((await reading.done).body.toString(), 'data: 0\n\ndata: 1\n\rdata: 2');
    running.assertIdle();
  });

  it('gives out an event of 300 KB at once when its blank line came', async () => {
    await start();
    const event = `data: ${'y'.repeat(300_000)}\n\n`;
    const { res, reading: opened } = await begin();
    await write(res, `data: 1\n\n${event}`);
    const reading = await opened;
    await reading.came((text) => text === `data: 1\n\n${event}`);
    await write(res, event.slice(0, -1));
    await write(res, '\n');
    await reading.came((text) => text === `data: 1\n\n${event}${event}`);
    res.end();
    assert.equal((await reading.done).isComplete, true);
    running.assertIdle();
  });

  for (const [what, first, second] of [
    ['LF', '\n', '\n'],
    ['CRLF', '\r\n', '\r\n'],
    ['CRLF, after its CR', '\r\n\r', '\n'],
  ] as const) {
    it(`gives out the blank line of an event that went out in parts, cut in the middle of it (${what})`, async () => {
      await start({ SSE_KEEPALIVE_SECONDS: '0.05' });
      const { res, reading: opened } = await begin();
      await write(res, 'data: 1\n\n');
      const reading = await opened;
      await reading.came((text) => text === 'data: 1\n\n');
      // Together more than is held, so that what came goes out up to and with the first line break.
      const [begins, ends] = [`data: ${'y'.repeat(40_000)}`, `${'y'.repeat(30_000)}${first}`];
      await write(res, begins);
      await turns();
      await write(res, ends);
      await reading.came((text) => text.length >= 70_000);
      await write(res, second);
      // The backend is silent from here on: keep-alives come, after the whole event.
      await reading.came((text) => text.endsWith(`${begins}${ends}${second}${KEEP_ALIVE.repeat(2)}`));
      res.end();
      assert.equal((await reading.done).isComplete, true);
      running.assertIdle();
    }).timeout(3000);
  }

  const cuts = ['d', 'data: 2', 'data: {"x":"\u00e9', 'event: x\r', 'data: 2\n', 'data: 2\r\n'];
  for (const half of cuts) {
    it(`leaves nothing of ${JSON.stringify(half)} behind when the stream is cut there`, async () => {
      await start();
      const { res, reading: opened } = await begin();
      await write(res, `data: 1\n\n`);
      const reading = await opened;
      await reading.came((text) => text === 'data: 1\n\n');
      await write(res, half);
      res.socket?.destroySoon();
      const received = await reading.done;
      const text = received.body.toString();
      assert.equal(received.isComplete, false);
      assert.equal(withoutError(text), 'data: 1\n\n');
      assert.equal(lastError(text).code, 'stream_broken');
      running.assertIdle();
    });
  }

  it('gives out all whole events that came before a cut', async () => {
    await start();
    for (let count = 1; count <= 40; count += 1) {
      const { res, reading } = await begin();
      const events = Array.from({ length: count }, (_, n) => `data: ${n}\n\n`).join('');
      await write(res, `${events}data: half`);
      res.socket?.destroySoon();
      const { body, isComplete } = await (await reading).done;
      assert.equal(isComplete, false);
      assert.equal(withoutError(body.toString()), events);
      assert.equal(lastError(body.toString()).code, 'stream_broken');
    }
    running.assertIdle();
  });

  it('ends an event too long to hold before the error, when the stream is cut in it', async () => {
    await start();
    const { res, reading: opened } = await begin();
    const long = `data: ${'y'.repeat(200_000)}`;
    await write(res, `data: 1\n\n${long}`);
    const reading = await opened;
    await reading.came((text) => text.length > 60_000);
    res.socket?.destroySoon();
    const received = await reading.done;
    assert.equal(received.isComplete, false);
    assert.equal(lastError(received.body.toString()).code, 'stream_broken');
    running.assertIdle();
  });

  it('puts keep-alives into silence between events, never into one', async () => {
    await start({ SSE_KEEPALIVE_SECONDS: '0.05' });
    const { res, reading: opened } = await begin();
    await write(res, 'data: 1\n\nda');
    const reading = await opened;
    await reading.came((text) => text.endsWith(KEEP_ALIVE + KEEP_ALIVE));
    await write(res, 'ta: 2\r\n');
    await reading.came((text) => text.endsWith(KEEP_ALIVE.repeat(4)));
    await write(res, '\r\ndata: 3\n\n');
    await reading.came((text) => text.endsWith(`data: 3\n\n${KEEP_ALIVE}`));
    res.end('data: 4\n\n');
    const received = await reading.done;
    const text = received.body.toString();
    assert.match(
      text,
      /^data: 1\n\n(: keep-alive\n){4,}data: 2\r\n\r\n(: keep-alive\n)*data: 3\n\n(: keep-alive\n)+data: 4\n\n$/,
    );
    assert.equal(received.isComplete, true);
    running.assertIdle();
  });

  it('puts no keep-alive into an event that went out in parts', async () => {
    await start({ SSE_KEEPALIVE_SECONDS: '0.05' });
    const inEvent = await begin();
    const long = `data: ${'y'.repeat(100_000)}`;
    await write(inEvent.res, `data: 1\n\n${long}`);
    const reading = await inEvent.reading;
    await reading.came((text) => text.length > 70_000);
    // A second stream that is silent between two events tells how much time has passed for both.
    const between = await begin();
    await write(between.res, 'data: 1\n\n');
    const other = await between.reading;
    await other.came((text) => text.endsWith(KEEP_ALIVE.repeat(4)));
    inEvent.res.end('\n\n');
    between.res.end();
    const received = await reading.done;
    assert.ok(received.body.toString().endsWith(`${long}\n\n`));
    await other.done;
    running.assertIdle();
  });

  it('puts no keep-alive into what is not an event stream', async () => {
    await start({ SSE_KEEPALIVE_SECONDS: '0.05' });
    const asked = open(`${running.url}/v1/audio/speech`, { body: '{"model":"tts"}' });
    const { res } = await upstream.next();
    res.writeHead(200, { 'content-type': 'audio/mpeg' });
    await write(res, 'x'.repeat(100_000));
    const reading = await asked;
    await reading.came((text) => text.length === 100_000);
    const between = await begin();
    await write(between.res, 'data: 1\n\n');
    const other = await between.reading;
    await other.came((text) => text.endsWith(KEEP_ALIVE.repeat(4)));
    res.end('x');
    between.res.end();
    assert.equal((await reading.done).body.toString(), 'x'.repeat(100_001));
    await other.done;
    running.assertIdle();
  });

  it('ends a stream that fell silent with an error, and its upstream request', async () => {
    await start({ STREAM_IDLE_TIMEOUT_SECONDS: '0.1', SSE_KEEPALIVE_SECONDS: '0.03' });
    const { res, reading: opened } = await begin();
    await write(res, 'data: 1\n\nda');
    const received = await (await opened).done;
    const text = received.body.toString();
    assert.equal(received.isComplete, false);
    assert.deepEqual(lastError(text), { code: 'stream_idle', type: 'server_error' });
    // Keep-alives are no sign of life of the backend.
    assert.match(withoutError(text), /^data: 1\n\n(: keep-alive\n)*$/);
    await until(() => res.destroyed);
    assert.deepEqual(statesOf(running), ['closed/closed']);
    running.assertIdle();
  });

  it('keeps a slow stream alive as long as anything comes', async () => {
    await start({ STREAM_IDLE_TIMEOUT_SECONDS: '0.5' });
    const { res, reading: opened } = await begin();
    await write(res, 'data: 0\n\n');
    const reading = await opened;
    const idle = await begin();
    await write(idle.res, 'data: 0\n\n');
    const other = await idle.reading;
    const idleOver = new AbortController();
    void other.done.then(() => idleOver.abort());
    const broken = once(res, 'close').then(() => idleOver.abort());
    // Half events count: one byte is a sign of life.
    while (!idleOver.signal.aborted) {
      await Promise.race([write(res, 'x'), broken]);
      await setImmediate();
    }
    assert.equal(lastError(other.text()).code, 'stream_idle');
    res.end('\n\n');
    assert.equal((await reading.done).isComplete, true);
    running.assertIdle();
  });

  it('sends the headers of a stream that is silent from the beginning, and keep-alives', async () => {
    await start({ SSE_KEEPALIVE_SECONDS: '0.05' });
    const { res, reading: opened } = await begin();
    res.flushHeaders();
    const reading = await opened;
    await reading.came((text) => text === KEEP_ALIVE.repeat(2));
    res.end('data: 1\n\n');
    const received = await reading.done;
    assert.match(received.body.toString(), /^(: keep-alive\n){2,}data: 1\n\n$/);
    assert.equal(received.isComplete, true);
    running.assertIdle();
  });

  for (const [what, type] of [
    ['a stream', 'text/event-stream'],
    ['a JSON answer', 'application/json'],
  ] as const) {
    it(`does not gather in memory what the caller is slow to read of ${what}`, async () => {
      await start();
      const block = Buffer.from(`data: ${'z'.repeat(16_376)}\n\n`);
      const total = 4096 * block.length; // 64 MB
      const opened = open(running.url + PATH, { body: STREAM, keep: false, paused: true });
      const { res } = await upstream.next();
      res.writeHead(200, { 'content-type': type });
      const before = process.memoryUsage().external; // Buffers are in it.
      let given = 0;
      const giving = (async () => {
        for (; given < total; given += block.length) if (!res.write(block)) await drainedOrClosed(res);
        res.end();
      })();
      const reading = await opened;
      reading.pause();
      await untilStill(() => given);
      assert.ok(given < total / 2, `${given} bytes were taken from the backend`);
      assert.equal(reading.bytes, 0);
      const growth = process.memoryUsage().external - before;
      assert.ok(growth < 16 * 2 ** 20, `${growth} bytes more are held`);
      assert.equal(running.balancer.admission.inFlight, 1);
      reading.resume();
      await giving;
      assert.equal((await reading.done).isComplete, true);
      assert.equal(reading.bytes, total);
      running.assertIdle();
    });
  }

  it('gives up on a caller who takes nothing for STREAM_IDLE_TIMEOUT_SECONDS, and blames nobody', async () => {
    await start({ STREAM_IDLE_TIMEOUT_SECONDS: '0.2' });
    const finished = running.event('request-finished');
    const opened = open(running.url + PATH, { body: STREAM, keep: false, paused: true });
    const { res } = await upstream.next();
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    const block = `data: ${'z'.repeat(100_000)}\n\n`;
    const giving = (async () => {
      while (!res.destroyed) if (!res.write(block)) await drainedOrClosed(res);
    })();
    const reading = await opened;
    reading.pause();
    assert.equal((await finished).ending, 'abandoned');
    await giving;
    assert.deepEqual(statesOf(running), ['closed/closed']);
    running.assertIdle();
    reading.leave();
  });

  it('breaks off the second stream on a connection with requests sent ahead', async () => {
    await start();
    const socket = connect(running.port, '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text;
    });
    const closed = once(socket, 'close');
    const request = `POST ${PATH} HTTP/1.1\r\nhost: x\r\napi-key: ${CLIENT_KEY}\r\ncontent-length: ${STREAM.length}\r\n\r\n${STREAM}`;
    socket.write(request + request);
    const ahead = await upstream.next();
    ahead.res.writeHead(200, { 'content-type': 'text/event-stream' });
    await write(ahead.res, 'data: ahead\n\n');
    await until(() => received.includes('data: ahead'));
    ahead.res.end();
    const behindIt = await upstream.next();
    behindIt.res.writeHead(200, { 'content-type': 'text/event-stream' });
    await write(behindIt.res, 'data: behind\n\n');
    await until(() => received.includes('data: behind'));
    behindIt.res.socket?.destroySoon();
    await closed;
    assert.match(received, /data: ahead\n\n[^]*data: behind\n\n[^]*"code":"stream_broken"/);
    // One terminating chunk, the first answer's: the second has visibly not ended.
    assert.equal(received.split('\r\n0\r\n\r\n').length - 1, 1);
    running.assertIdle();
  }).timeout(3000);
});

/** Resolves when the kernel has it. */
function write(res: ServerResponse, bytes: string | Buffer): Promise<void> {
  return new Promise((resolve) => void res.write(bytes, () => resolve()));
}

/** So that what was written is read before more is. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n += 1) await setImmediate();
}

function drainedOrClosed(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const onEither = (): void => {
      res.off('drain', onEither).off('close', onEither);
      resolve();
    };
    res.on('drain', onEither).on('close', onEither);
  });
}
