import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send } from '../support/http.ts';
import { codeOf, connectTo, exchange, head } from '../support/raw.ts';

const START = [
  'POST /v1/chat/completions HTTP/1.1',
  'Host: x',
  `api-key: ${CLIENT_KEY}`,
  'Content-Type: application/json',
];
const MEGABYTE = 2 ** 20;

describe('a limit on callers', function () {
  this.timeout(20_000);
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<number> {
    running = await startBalancer(setup);
    return running.port;
  }

  function assertNoCalls(): void {
    assert.deepEqual(
      running.resources.map(({ calls }) => calls.length),
      [0, 0, 0],
    );
  }

  it('refuses headers beyond 32 KiB with 431, one long or many short', async () => {
    const port = await start();
    const many = Array.from({ length: 700 }, (_, index) => `X-Note-${index}: ${'x'.repeat(50)}`);
    for (const lines of [[`X-Note: ${'x'.repeat(33_000)}`], many]) {
      const answer = await exchange(port, head(...START, ...lines, 'Content-Length: 2'));
      assert.equal(answer.status, 431);
      assert.equal(codeOf(answer), 'headers_too_large');
      assert.equal(answer.headers['connection'], 'close');
      assert.equal(answer.rest, '');
    }
    assertNoCalls();
    running.assertIdle();
  });

  it('refuses a target beyond 32 KiB with 431', async () => {
    const port = await start();
    const answer = await exchange(port, head(`GET /v1/models?x=${'x'.repeat(33_000)} HTTP/1.1`, ...START.slice(1)));
    assert.equal(answer.status, 431);
    assert.equal(codeOf(answer), 'headers_too_large');
    assertNoCalls();
  });

  it('takes headers of almost 32 KiB, many of them', async () => {
    const port = await start();
    const many = Array.from({ length: 500 }, (_, index) => `X-Note-${index}: ${'x'.repeat(48)}`);
    const body = chat();
    const answer = await exchange(
      port,
      head(...START, ...many, 'Connection: close', `Content-Length: ${body.length}`) + body,
    );
    assert.equal(answer.status, 200);
    assert.equal(running.resources[0]?.calls[0]?.body.toString(), body);
    running.assertIdle();
  });

  it('never serves a request without those of its headers that come after thousands of others', async () => {
    const port = await start();
    const many = Array.from({ length: 2500 }, () => 'x: y');
    const body = chat();
    const answer = await exchange(
      port,
      head(...START, 'Connection: close', ...many, `Content-Length: ${body.length}`) + body,
    );
    if (answer.status === 200) assert.equal(running.resources[0]?.calls[0]?.body.toString(), body);
    else {
      assert.equal(answer.status, 431);
      assert.equal(codeOf(answer), 'headers_too_large');
      assertNoCalls();
    }
    running.assertIdle();
  });

  it('cuts a sender of headers that does not come to their end with 408', async () => {
    const port = await start({ serverLimits: { keepAliveMs: 5000, headersMs: 100, requestMs: 60_000 } });
    const answer = await exchange(port, START.join('\r\n'));
    assert.equal(answer.status, 408);
    assert.equal(codeOf(answer), 'request_timeout');
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(answer.rest, '');
    assertNoCalls();
    running.assertIdle();
  });

  it('cuts a connection on which no request ever begins', async () => {
    const port = await start({ serverLimits: { keepAliveMs: 5000, headersMs: 100, requestMs: 60_000 } });
    const connection = await connectTo(port);
    assert.match(await connection.rest(), /^(HTTP\/1\.1 408 |$)/);
    assertNoCalls();
  });

  it('cuts a sender of a body that stops with 408, and keeps nothing of it', async () => {
    const port = await start({ handlerLimits: { bodyIdleMs: 100 } });
    const answer = await exchange(port, `${head(...START, 'Content-Length: 1000')}{"model":`);
    assert.equal(answer.status, 408);
    assert.equal(codeOf(answer), 'body_timeout');
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(answer.rest, '');
    assertNoCalls();
    running.assertIdle();
  });

  it('cuts a sender of a chunked body that stops with 408', async () => {
    const port = await start({ handlerLimits: { bodyIdleMs: 100 } });
    const answer = await exchange(port, `${head(...START, 'Transfer-Encoding: chunked')}5\r\n{"mod\r\n`);
    assert.equal(answer.status, 408);
    assert.equal(codeOf(answer), 'body_timeout');
    assert.equal(answer.rest, '');
    assertNoCalls();
    running.assertIdle();
  });

  it('cuts a sender that keeps sending but never comes to the end of the request with 408', async () => {
    const port = await start({ serverLimits: { keepAliveMs: 5000, headersMs: 100, requestMs: 400 } });
    const connection = await connectTo(port);
    connection.write(head(...START, 'Content-Length: 1000000'));
    const dripping = setInterval(() => connection.write(' '), 20);
    try {
      const answer = await connection.answer();
      assert.equal(answer.status, 408);
      assert.equal(codeOf(answer), 'request_timeout');
      assert.equal(await connection.rest(), '');
    } finally {
      clearInterval(dripping);
    }
    assertNoCalls();
    assert.equal((await exchange(port, head('GET /healthz HTTP/1.0'))).status, 200);
    running.assertIdle();
  });

  for (const [how, more] of [
    ['with its length', (body: Buffer) => ({ body })],
    ['in chunks', (body: Buffer) => ({ pieces: [body] })],
  ] as const) {
    it(`refuses a body larger than MAX_BODY_BYTES with 413 that its sender gets to read: ${how}`, async () => {
      await start({ settings: { MAX_BODY_BYTES: String(MEGABYTE) } });
      const body = Buffer.alloc(8 * MEGABYTE, 'x');
      const received = await send(`${running.url}/v1/chat/completions`, more(body));
      assert.equal(received.status, 413);
      assert.equal(errorOf(received).code, 'body_too_large');
      assert.match(errorOf(received).message, /MAX_BODY_BYTES/);
      assert.equal(received.headers.connection, 'close');
      assert.equal(received.isComplete, true);
      assertNoCalls();
      running.assertIdle();
    });
  }

  it('refuses a declared body larger than MAX_BODY_BYTES before any of it came', async () => {
    const port = await start();
    const answer = await exchange(port, head(...START, 'Content-Length: 9007199254740991'));
    assert.equal(answer.status, 413);
    assert.equal(codeOf(answer), 'body_too_large');
    assert.equal(answer.rest, '');
    assertNoCalls();
    running.assertIdle();
  });

  it('takes a body of exactly MAX_BODY_BYTES, and refuses one byte more, with its length and in chunks', async () => {
    const body = chat();
    await start({ settings: { MAX_BODY_BYTES: String(body.length) } });
    const url = `${running.url}/v1/chat/completions`;
    const statuses = [];
    for (const sent of [{ body }, { pieces: [body] }, { body: `${body} ` }, { pieces: [body, ' '] }]) {
      statuses.push((await send(url, sent)).status);
    }
    assert.deepEqual(statuses, [200, 200, 413, 413]);
    running.assertIdle();
  });

  it('refuses a body beyond MAX_BUFFERED_BYTES with 503 and a time to come back', async () => {
    await start({ settings: { MAX_BUFFERED_BYTES: '1000' } });
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat({ user: 'x'.repeat(2000) }) });
    assert.equal(received.status, 503);
    assert.equal(errorOf(received).code, 'too_many_bytes_buffered');
    assert.equal(received.headers['retry-after'], '1');
    assertNoCalls();
    running.assertIdle();
  });

  for (const encoding of ['gzip', 'GZIP', 'deflate', 'br', 'identity, gzip']) {
    it(`refuses a compressed body with 415: Content-Encoding: ${encoding}`, async () => {
      await start();
      const received = await send(`${running.url}/v1/chat/completions`, {
        body: gzipSync(chat()),
        headers: { 'content-encoding': encoding },
      });
      assert.equal(received.status, 415);
      assert.equal(errorOf(received).code, 'invalid_content_encoding');
      assert.equal(received.headers.connection, 'close');
      assertNoCalls();
      running.assertIdle();
    });
  }

  it('takes a body whose encoding is said to be identity', async () => {
    await start();
    const sent = { body: chat(), headers: { 'content-encoding': 'identity' } };
    assert.equal((await send(`${running.url}/v1/chat/completions`, sent)).status, 200);
  });

  it('reads on after a refusal for a while only, so that a sender without end is cut', async () => {
    const port = await start({ settings: { MAX_BODY_BYTES: '1000' } });
    const connection = await connectTo(port);
    connection.write(head(...START, 'Transfer-Encoding: chunked'));
    const dripping = setInterval(() => connection.write(`3e8\r\n${'x'.repeat(1000)}\r\n`), 10);
    try {
      const answer = await connection.answer();
      assert.equal(answer.status, 413);
      assert.equal(await connection.rest(), '');
    } finally {
      clearInterval(dripping);
    }
    running.assertIdle();
  });
});
