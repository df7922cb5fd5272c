import assert from 'node:assert/strict';
import { startBalancer, CLIENT_KEY, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { codeOf, connectTo, exchange, head } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';
import { until } from '../support/until.ts';

const HOST = 'Host: balancer.example';
const KEY = `api-key: ${CLIENT_KEY}`;
const JSON_TYPE = 'Content-Type: application/json';
const CLOSE = 'Connection: close';

function post(body: string, ...more: readonly string[]): string {
  const lines = ['POST /v1/chat/completions HTTP/1.1', HOST, KEY, JSON_TYPE, `Content-Length: ${body.length}`];
  return head(...lines, ...more) + body;
}

describe('HTTP on one connection', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer();
  });
  afterEach(() => running.close());

  function assertNoCalls(): void {
    assert.deepEqual(
      running.resources.map(({ calls }) => calls.length),
      [0, 0, 0],
    );
  }

  it('answers CONNECT with 405 and the methods that are served, and connects to nothing', async () => {
    const elsewhere = await startRawUpstream(() => undefined);
    try {
      const answer = await exchange(running.port, head(`CONNECT ${elsewhere.host} HTTP/1.1`, HOST, KEY) + post(chat()));
      assert.equal(answer.status, 405);
      assert.equal(codeOf(answer), 'method_not_allowed');
      assert.equal(answer.headers['connection'], 'close');
      assert.equal(answer.rest, '');
      assert.equal(elsewhere.connections, 0);
      assertNoCalls();
      // RFC 9110 §15.5.6
      assert.equal(answer.headers['allow'], 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
    } finally {
      await elsewhere.close();
    }
  });

  it('answers TRACE with 405 and the methods that are served, and does not send it back', async () => {
    const answer = await exchange(running.port, head('TRACE /v1/models HTTP/1.1', HOST, KEY));
    assert.equal(answer.status, 405);
    assert.equal(codeOf(answer), 'method_not_allowed');
    assert.equal(answer.headers['allow'], 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
    assert.ok(!answer.body.includes(CLIENT_KEY));
    assertNoCalls();
  });

  for (const upgrade of ['websocket', 'WebSocket']) {
    it(`answers a WebSocket handshake with 501: Upgrade: ${upgrade}`, async () => {
      const lines = ['GET /v1/realtime?model=gpt-realtime HTTP/1.1', HOST, KEY, 'Connection: Upgrade'];
      const answer = await exchange(
        running.port,
        head(
          ...lines,
          `Upgrade: ${upgrade}`,
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        ),
      );
      assert.equal(answer.status, 501);
      assert.equal(codeOf(answer), 'websocket_not_supported');
      assert.equal(answer.headers['upgrade'], undefined);
      assert.equal(answer.headers['connection'], 'close');
      assert.equal(answer.rest, '');
      assertNoCalls();
      running.assertIdle();
    });
  }

  it('serves a request that offers HTTP/2 (Upgrade: h2c) over HTTP/1.1, as if it had not', async () => {
    const connection = await connectTo(running.port);
    const offer = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'];
    for (const _ of [1, 2]) {
      connection.write(post(chat(), ...offer));
      const answer = await connection.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['upgrade'], undefined);
      assert.equal(answer.headers['x-balancer-attempts'], '1');
    }
    const [call] = running.resources[0]?.calls ?? [];
    assert.deepEqual(
      ['upgrade', 'http2-settings', 'connection'].map((name) => call?.headers[name]),
      [undefined, undefined, 'keep-alive'],
    );
    running.assertIdle();
  });

  it('closes the connection of an HTTP/1.0 caller after a whole answer with its length', async () => {
    const answer = await exchange(running.port, post(chat()).replace('HTTP/1.1', 'HTTP/1.0'));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(answer.headers['transfer-encoding'], undefined);
    assert.equal(answer.headers['content-length'], String(answer.body.length));
    assert.equal(answer.rest, '');
    running.assertIdle();
  });

  it('keeps the connection of an HTTP/1.0 caller that asks for it', async () => {
    const connection = await connectTo(running.port);
    for (const _ of [1, 2]) {
      connection.write(post(chat(), 'Connection: keep-alive').replace('HTTP/1.1', 'HTTP/1.0'));
      const answer = await connection.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['connection'], 'keep-alive');
      assert.equal(answer.headers['transfer-encoding'], undefined);
    }
    assert.equal(running.resources[0]?.calls.length, 2);
  });

  it('streams to an HTTP/1.0 caller without chunks, up to the end of the connection', async () => {
    const body = chat({ stream: true });
    const answer = await exchange(running.port, post(body, 'Connection: keep-alive').replace('HTTP/1.1', 'HTTP/1.0'));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(answer.headers['transfer-encoding'], undefined);
    assert.match(answer.body, /^data: /);
    assert.match(answer.body, /\ndata: \[DONE\]\n\n$/);
    running.assertIdle();
  });

  it('tells an HTTP/1.0 caller in-band of a stream that broke, whose end it cannot see otherwise', async () => {
    running.resources[0]?.script({ kind: 'reset-mid-stream', afterChunks: 2 });
    const answer = await exchange(running.port, post(chat({ stream: true })).replace('HTTP/1.1', 'HTTP/1.0'));
    assert.equal(answer.status, 200);
    assert.match(answer.body, /\n\nevent: error\ndata: \{[^\n]*"code":"stream_broken"[^\n]*\}\n\n$/);
    running.assertIdle();
  });

  it('answers pipelined requests in the order they came, however long each takes', async () => {
    running.resources[0]?.script({ kind: 'slow-first-byte', ms: 60 });
    const connection = await connectTo(running.port);
    connection.write(
      post(chat({ user: 'first' })) +
        post(chat({ user: 'second' })) +
        head('GET /v1/models HTTP/1.1', HOST, KEY) +
        head('GET /healthz HTTP/1.1', HOST),
    );
    const answers = [];
    for (const _ of [1, 2, 3, 4]) answers.push(await connection.answer());
    assert.deepEqual(
      answers.map(({ status, body }) => [status, /"object":"(\S+?)"|alive/.exec(body)?.[1]]),
      [
        [200, 'chat.completion'],
        [200, 'chat.completion'],
        [200, 'list'],
        [200, undefined],
      ],
    );
    const users = running.resources.flatMap(({ calls }) =>
      calls.map(({ body }) => /"user":"(\w+)"/.exec(body.toString())?.[1]),
    );
    assert.deepEqual(new Set(users), new Set(['first', 'second', undefined]));
    running.assertIdle();
  });

  it('answers nothing that is pipelined behind a refused request whose body it has not read', async () => {
    const refused = head('POST /nowhere HTTP/1.1', HOST, KEY, JSON_TYPE, `Content-Length: 5`);
    const answer = await exchange(running.port, `${refused}abcde${post(chat())}`);
    assert.equal(answer.status, 404);
    assert.equal(codeOf(answer), 'unknown_path');
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(answer.rest, '');
    assertNoCalls();
  });

  it('gives no backend what is pipelined behind a refusal: nobody would hear of its answer', async () => {
    const wrong = head('GET /v1/models HTTP/1.1', HOST, 'api-key: wrong');
    const answer = await exchange(running.port, `${wrong}${post(chat())}`);
    assert.equal(codeOf(answer), 'unknown_credential');
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(answer.rest, '');
    await until(() => running.events.filter(({ kind }) => kind === 'request-finished').length === 2);
    assert.deepEqual(
      running.events.map((event) => (event.kind === 'request-finished' ? event.status : event.kind)),
      [401, 499],
    );
    running.assertIdle();
  });

  it('tells a caller that expects 100-continue to go on, and sends no expectation upstream', async () => {
    const body = chat();
    const connection = await connectTo(running.port);
    const [, withoutBody = ''] = /^([\s\S]*\r\n\r\n)/.exec(post(body, 'Expect: 100-continue')) ?? [];
    connection.write(withoutBody);
    assert.equal((await connection.answer()).status, 100);
    connection.write(body);
    const answer = await connection.answer();
    assert.equal(answer.status, 200);
    const [call] = running.resources[0]?.calls ?? [];
    assert.equal(call?.headers['expect'], undefined);
    assert.equal(call?.body.toString(), body);
    running.assertIdle();
  });

  it("answers an expectation that nobody knows with 417 in Azure's shape", async () => {
    const answer = await exchange(running.port, post(chat(), 'Expect: the-unexpected', CLOSE));
    assert.equal(answer.status, 417);
    assertNoCalls();
    assert.notEqual(codeOf(answer), '');
  });

  it('answers HEAD with the headers alone, from the balancer and in errors too', async () => {
    const connection = await connectTo(running.port);
    connection.write(head('HEAD /healthz HTTP/1.1', HOST));
    const alive = await connection.answer('HEAD');
    assert.equal(alive.status, 200);
    assert.ok(Number(alive.headers['content-length']) > 0);
    connection.write(head('HEAD /nowhere HTTP/1.1', HOST, KEY));
    const unknown = await connection.answer('HEAD');
    assert.equal(unknown.status, 404);
    assert.equal(await connection.rest(), '');
    assertNoCalls();
  });
});

describe('an answer of a backend', () => {
  let upstream: RawUpstream | undefined;
  let running: RunningBalancer | undefined;
  afterEach(async () => {
    await running?.close();
    await upstream?.close();
  });

  async function start(answer: string): Promise<RunningBalancer> {
    upstream = await startRawUpstream((socket) => socket.write(answer));
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    return running;
  }

  it('to HEAD has its length and no body, and leaves both connections usable', async () => {
    const { port } = await start('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1234\r\n\r\n');
    const connection = await connectTo(port);
    for (const _ of [1, 2]) {
      connection.write(head('HEAD /v1/models HTTP/1.1', HOST, KEY));
      const answer = await connection.answer('HEAD');
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-length'], '1234');
    }
    assert.match(upstream?.requests[1] ?? '', /^HEAD \/openai\/v1\/models HTTP\/1\.1\r\n/);
    assert.equal(upstream?.connections, 1);
    running?.assertIdle();
  });

  it('to OPTIONS is passed like any other', async () => {
    const { port } = await start('HTTP/1.1 200 OK\r\nallow: GET, POST\r\ncontent-length: 0\r\n\r\n');
    const answer = await exchange(port, head('OPTIONS /v1/models HTTP/1.1', HOST, KEY, CLOSE));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['allow'], 'GET, POST');
    assert.equal(answer.headers['content-length'], '0');
    assert.match(upstream?.requests[0] ?? '', /^OPTIONS \/openai\/v1\/models HTTP\/1\.1\r\n/);
    assert.ok(!/^(content-length: *[1-9]|transfer-encoding:)/im.test(upstream?.requests[0] ?? ''));
    running?.assertIdle();
  });

  for (const [status, statusLine] of [
    [204, '204 No Content'],
    [304, '304 Not Modified'],
  ] as const) {
    it(`that is ${status} has no body and no framing, and leaves both connections usable`, async () => {
      const { port } = await start(`HTTP/1.1 ${statusLine}\r\netag: "x"\r\n\r\n`);
      const connection = await connectTo(port);
      for (const _ of [1, 2]) {
        connection.write(head('DELETE /v1/files/file-1 HTTP/1.1', HOST, KEY));
        const answer = await connection.answer();
        assert.equal(answer.status, status);
        assert.equal(answer.headers['etag'], '"x"');
        assert.equal(answer.headers['transfer-encoding'], undefined);
        assert.equal(answer.headers['content-length'], undefined);
        assert.equal(answer.headers['x-balancer-backend'], 'openai1');
      }
      running?.assertIdle();
    });
  }

  it('that is 304 keeps the length of the body that it does not carry', async () => {
    const { port } = await start('HTTP/1.1 304 Not Modified\r\ncontent-length: 999\r\n\r\n');
    const connection = await connectTo(port);
    connection.write(head('GET /v1/models HTTP/1.1', HOST, KEY) + head('GET /healthz HTTP/1.1', HOST));
    const answer = await connection.answer();
    assert.deepEqual([answer.status, answer.headers['content-length']], [304, '999']);
    assert.equal((await connection.answer()).status, 200);
    running?.assertIdle();
  });

  it('comes after its interim ones (100, 102, 103), which are not passed on', async () => {
    const interim =
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n';
    const { port } = await start(interim + rawAnswer('200 OK', ['content-type: application/json'], '{}'));
    const answer = await exchange(port, head('GET /v1/models HTTP/1.1', HOST, KEY, CLOSE));
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{}');
    assert.equal(answer.headers['link'], undefined);
    running?.assertIdle();
  });

  it('that ends with its connection, without any length, is passed whole', async () => {
    upstream = await startRawUpstream((socket) =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nall of it'),
    );
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    const connection = await connectTo(running.port);
    connection.write(head('GET /v1/models HTTP/1.1', HOST, KEY));
    const answer = await connection.answer();
    assert.deepEqual([answer.status, answer.body], [200, 'all of it']);
    assert.equal(answer.headers['connection'], 'keep-alive');
    running.assertIdle();
  });

  it('in HTTP/1.0 is passed as HTTP/1.1', async () => {
    upstream = await startRawUpstream((socket) => socket.end('HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}'));
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    const connection = await connectTo(running.port);
    connection.write(head('GET /v1/models HTTP/1.1', HOST, KEY));
    const answer = await connection.answer();
    assert.match(answer.head, /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal(answer.body, '{}');
    running.assertIdle();
  });
});
