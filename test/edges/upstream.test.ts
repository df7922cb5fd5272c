import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Received } from '../support/http.ts';
import { rawAnswer, startRawUpstream, type RawAnswering, type RawUpstream } from '../support/raw-upstream.ts';

const BIG = 8 * 2 ** 20;

describe('a backend that is not as it should be', () => {
  let upstreams: RawUpstream[] = [];
  let running: RunningBalancer | undefined;
  afterEach(async () => {
    await running?.close();
    await Promise.all(upstreams.map((upstream) => upstream.close()));
    upstreams = [];
  });

  /** openai1 is made of bytes, openai2 is a simulated resource. */
  async function start(onRequest: RawAnswering, onHead?: RawAnswering): Promise<RunningBalancer> {
    const upstream = await startRawUpstream(onRequest, onHead);
    upstreams.push(upstream);
    running = await startBalancer({
      backends: 2,
      settings: { BACKEND_1_URL: upstream.url, HTTP_TIMEOUT_SECONDS: '1' },
    });
    return running;
  }

  function ask(balancer: RunningBalancer, body: string | Buffer = chat()): Promise<Received> {
    return send(`${balancer.url}/v1/chat/completions`, { body });
  }

  /** What openai1 says is of no use: openai2 answers, and the caller sees nothing of it. */
  async function assertFailedOver(answer: string): Promise<void> {
    const balancer = await start((socket) => socket.end(Buffer.from(answer, 'latin1')));
    const received = await ask(balancer);
    assert.equal(received.status, 200);
    assert.equal(received.headers['x-balancer-trace'], 'openai1=reset openai2=200');
    assert.equal(received.headers['x-balancer-backend'], 'openai2');
    assert.deepEqual([upstreams[0]?.requests.length, balancer.resources[1]?.calls.length], [1, 1]);
    assert.equal(received.isComplete, true);
    balancer.assertIdle();
  }

  const OK = 'HTTP/1.1 200 OK\r\n';
  const USELESS: Readonly<Record<string, string>> = {
    'the greeting of another protocol': 'SSH-2.0-OpenSSH_9.9\r\n',
    'a page without a status line': '<html><body>It works!</body></html>\r\n\r\n',
    zeros: '\0'.repeat(100),
    'nothing, and the end of the connection': '',
    'half a status line': 'HTTP/1.1 20',
    'half of the headers': `${OK}content-type: appl`,
    'a status of two digits': 'HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n',
    'a status below 100': 'HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n',
    'a status of four digits': 'HTTP/1.1 2000 High\r\ncontent-length: 0\r\n\r\n',
    'a version that does not exist': 'HTTP/4.2 200 OK\r\ncontent-length: 0\r\n\r\n',
    'a NUL in a header': `${OK}x-note: a\0b\r\ncontent-length: 0\r\n\r\n`,
    'a space in a header name': `${OK}x note: a\r\ncontent-length: 0\r\n\r\n`,
    'a header without a colon': `${OK}x-note\r\ncontent-length: 0\r\n\r\n`,
    'a bare CR in a header': `${OK}x-note: a\rx-forged: b\r\ncontent-length: 0\r\n\r\n`,
    'two different content-lengths': `${OK}content-length: 2\r\ncontent-length: 4\r\n\r\n{}{}`,
    'a negative content-length': `${OK}content-length: -2\r\n\r\n{}`,
    'a content-length and chunks': `${OK}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'headers that are too large': `${OK}x-note: ${'x'.repeat(70_000)}\r\ncontent-length: 0\r\n\r\n`,
    'a switch to a protocol that nobody asked for':
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    'a chunk size that is none': `${OK}transfer-encoding: chunked\r\n\r\nxyz\r\n`,
    'fewer bytes than it said': `${OK}content-length: 100\r\n\r\n{"half":`,
    'chunks that do not come to their end': `${OK}transfer-encoding: chunked\r\n\r\n8\r\n{"half":\r\n`,
  };
  for (const [name, answer] of Object.entries(USELESS)) {
    it(`is failed over when it sends ${name}`, () => assertFailedOver(answer));
  }

  it('is answered with 502 and a reason when it is the only one and sends something else than HTTP', async () => {
    const upstream = await startRawUpstream((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'));
    upstreams.push(upstream);
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    const received = await ask(running);
    assert.equal(received.status, 502);
    assert.match(received.body.toString(), /"code":"backends_unreachable"/);
    assert.ok(!received.body.toString().includes('SSH'));
    running.assertIdle();
  });

  it('gets through with bytes beyond ASCII in a header, which are legal', async () => {
    const balancer = await start((socket) =>
      socket.write(rawAnswer('200 OK', ['x-note: caf\u00e9 \u00ff'], '{}'), 'latin1'),
    );
    const received = await ask(balancer);
    assert.equal(received.status, 200);
    assert.equal(received.headers['x-note'], 'caf\u00e9 \u00ff');
    balancer.assertIdle();
  });

  it('gets through with an answer in the middle of the request, which is then the answer', async () => {
    const early = rawAnswer('400 Bad Request', ['content-type: application/json'], '{"error":{"code":"early"}}');
    const balancer = await start(
      () => undefined,
      (socket) => socket.write(early),
    );
    const received = await ask(balancer, Buffer.alloc(BIG, ' '));
    assert.equal(received.status, 400);
    assert.equal(received.body.toString(), '{"error":{"code":"early"}}');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=400');
    assert.equal(balancer.resources[1]?.calls.length, 0);
    balancer.assertIdle();
    assert.equal((await ask(balancer)).status, 400);
  });

  it('is failed over with the whole body when its early answer is a failure and it closes', async () => {
    const balancer = await start(
      () => undefined,
      (socket) => socket.end(rawAnswer('503 Service Unavailable', ['connection: close'], 'busy')),
    );
    const body = chat({ user: 'x'.repeat(BIG) });
    const received = await ask(balancer, body);
    assert.equal(received.status, 200);
    assert.equal(received.headers['x-balancer-trace'], 'openai1=503 openai2=200');
    assert.ok(balancer.resources[1]?.calls[0]?.body.equals(Buffer.from(body)));
    balancer.assertIdle();
  });

  it('is failed over with the whole body when it throttles before it has read any of it', async () => {
    running = await startBalancer({ backends: 2 });
    running.resources[0]?.script({ kind: 'early-answer', status: 429 });
    const body = chat({ user: 'x'.repeat(BIG) });
    const received = await ask(running, body);
    assert.equal(received.status, 200);
    assert.match(String(received.headers['x-balancer-trace']), /^openai1=429(\(\d+ms\))? openai2=200$/);
    assert.ok(running.resources[1]?.calls[0]?.body.equals(Buffer.from(body)));
    running.assertIdle();
  });

  for (const stream of [false, true]) {
    it(`passes unchanged when it compresses although it was asked not to: stream ${stream}`, async () => {
      running = await startBalancer({ backends: 1 });
      running.resources[0]?.script({ kind: 'gzip' });
      const received = await ask(running, chat({ stream }));
      assert.equal(received.status, 200);
      assert.equal(received.headers['content-encoding'], 'gzip');
      assert.equal(running.resources[0]?.calls[0]?.headers['accept-encoding'], 'identity');
      const text = gunzipSync(received.body).toString();
      assert.match(text, stream ? /data: \[DONE\]\n\n$/ : /"object":"chat\.completion"/);
      assert.equal(received.isComplete, true);
      running.assertIdle();
    });
  }

  for (const status of [
    '301 Moved Permanently',
    '302 Found',
    '303 See Other',
    '307 Temporary Redirect',
    '308 Permanent Redirect',
  ]) {
    it(`is passed and not followed when it redirects: ${status}`, async () => {
      const elsewhere = await startRawUpstream((socket) => socket.write(rawAnswer('200 OK', [], '{}')));
      upstreams.push(elsewhere);
      const location = `${elsewhere.url}/openai/v1/chat/completions`;
      const upstream = await startRawUpstream((socket) =>
        socket.write(rawAnswer(status, [`location: ${location}`], 'moved')),
      );
      upstreams.push(upstream);
      running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
      const received = await ask(running);
      assert.equal(received.status, Number(status.slice(0, 3)));
      assert.equal(received.headers.location, location);
      assert.equal(received.body.toString(), 'moved');
      assert.equal(elsewhere.connections, 0);
      assert.equal(upstream.requests.length, 1);
      running.assertIdle();
    });
  }

  it('never gets the balancer to hand out the key of another backend', async () => {
    const balancer = await start((socket) => socket.end('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n'));
    assert.equal((await ask(balancer)).status, 200);
    assert.match(upstreams[0]?.requests[0] ?? '', /\r\napi-key: key-1\r\n/i);
    assert.ok(!upstreams[0]?.requests.join('').includes('key-2'));
    assert.equal(balancer.resources[1]?.calls[0]?.headers['api-key'], 'key-2');
    assert.ok(!JSON.stringify(balancer.resources[1]?.calls[0]?.rawHeaders).includes(CLIENT_KEY));
  });
});
