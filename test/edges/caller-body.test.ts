import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { assertCall, callCounts, statesOf } from '../support/observed.ts';
import { codeOf, connectTo, exchange, head, type RawConnection } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const START = [
  'POST /v1/chat/completions HTTP/1.1',
  'Host: balancer.example',
  `api-key: ${CLIENT_KEY}`,
  'Content-Type: application/json',
];
const CHUNKED = head(...START, 'Connection: close', 'Transfer-Encoding: chunked');
const UPSTREAM_PATH = '/openai/v1/chat/completions';
const SERVED = /"content":"openai1 answers: /;

describe('the body of a caller', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ backends: 2, ...setup });
  }

  /** openai1 was sent this body, whole and with its length, and nothing else of the caller's framing. */
  async function assertArrived(body: string): Promise<void> {
    const call = running.resources[0]?.calls.at(-1);
    assertCall(call, { path: UPSTREAM_PATH, body, key: 'key-1' });
    for (const name of ['transfer-encoding', 'trailer', 'x-trailer', 'x-other', 'te']) {
      assert.equal(call?.headers[name], undefined);
    }
    assert.equal(running.resources[1]?.calls.length, 0);
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await assertAtRest(running);
  }

  it('arrives whole when it comes byte by byte, each in a packet of its own', async () => {
    await start();
    const body = chat({ user: 'é漢😀' });
    const bytes = Buffer.from(body);
    const connection = await connectTo(running.port);
    connection.socket.setNoDelay(true);
    const { received } = await watch(running, async () => {
      connection.write(head(...START, 'Connection: close', `Content-Length: ${bytes.length}`));
      for (let at = 0; at < bytes.length; at += 1) await written(connection, bytes.subarray(at, at + 1));
      return connection.answer();
    });
    assert.equal(received.status, 200);
    assert.match(received.body, SERVED);
    assert.equal(received.headers['x-balancer-trace'], 'openai1=200');
    await assertArrived(body);
  });

  it('arrives whole when its head comes byte by byte too', async () => {
    await start();
    const body = chat();
    const connection = await connectTo(running.port);
    connection.socket.setNoDelay(true);
    for (const byte of Buffer.from(head(...START, 'Connection: close', `Content-Length: ${body.length}`) + body)) {
      await written(connection, Buffer.from([byte]));
    }
    assert.equal((await connection.answer()).status, 200);
    await assertArrived(body);
  });

  it('arrives whole, the name of its model included, wherever it is cut in two', async () => {
    await start({ settings: { DEPLOYMENT_ALIASES: 'café-漢😀=gpt-5.4-mini' } });
    const body = Buffer.from(JSON.stringify({ model: 'café-漢😀', messages: [{ role: 'user', content: 'Hi.' }] }));
    const sent = body.toString().replace('café-漢😀', 'gpt-5.4-mini');
    const nameEnd = body.indexOf('","messages');
    for (let at = 8; at <= nameEnd; at += 1) {
      const connection = await connectTo(running.port);
      connection.socket.setNoDelay(true);
      await written(connection, CHUNKED);
      for (const part of [body.subarray(0, at), body.subarray(at)]) await written(connection, chunk(part));
      await written(connection, '0\r\n\r\n');
      const answer = await connection.answer();
      assert.equal(answer.status, 200, `cut at ${at}`);
      await assertArrived(sent);
    }
  });

  it('arrives whole in thousands of chunks of one byte, with extensions and trailers, which are dropped', async () => {
    await start();
    const body = chat({ user: 'x'.repeat(5000) });
    const chunks = Array.from(body, (byte, n) => `1${n % 1000 === 0 ? `;note=${n};q="a;b"` : ''}\r\n${byte}\r\n`).join(
      '',
    );
    const declared = CHUNKED.replace('\r\n\r\n', '\r\nTrailer: X-Trailer\r\n\r\n');
    for (const opening of [CHUNKED, declared]) {
      const { received, finished } = await watch(running, () =>
        exchange(running.port, `${opening}${chunks}0;last\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n`),
      );
      assert.equal(received.status, 200);
      assert.match(received.body, SERVED);
      assert.equal(received.rest, '');
      assert.equal(finished.ending, 'delivered');
      await assertArrived(body);
    }
  });

  it('leaves nothing of its trailers to the next request on the connection', async () => {
    await start();
    const body = chat();
    const connection = await connectTo(running.port);
    const kept = CHUNKED.replace('Connection: close\r\n', '');
    for (const _ of [1, 2]) {
      connection.write(
        `${kept}${body.length.toString(16)}\r\n${body}\r\n0\r\napi-key: another\r\nX-Trailer: 1\r\n\r\n`,
      );
      assert.equal((await connection.answer()).status, 200);
    }
    connection.write(head('GET /v1/models HTTP/1.1', 'Host: x', `api-key: ${CLIENT_KEY}`, 'Connection: close'));
    assert.equal((await connection.answer()).status, 200);
    for (const call of running.resources[0]?.calls ?? []) {
      assert.deepEqual([call.headers['api-key'], call.headers['x-trailer']], ['key-1', undefined]);
    }
    assert.deepEqual(callCounts(running), [3, 0]);
    await assertAtRest(running);
  });

  it('has no credential in its trailers: what comes after the body opens no door', async () => {
    await start();
    const body = chat();
    const closed = CHUNKED.replace(`api-key: ${CLIENT_KEY}\r\n`, '');
    const answer = await exchange(
      running.port,
      `${closed}${body.length.toString(16)}\r\n${body}\r\n0\r\napi-key: ${CLIENT_KEY}\r\n\r\n`,
    );
    assert.deepEqual([answer.status, codeOf(answer)], [401, 'missing_credential']);
    assert.deepEqual(callCounts(running), [0, 0]);
    await assertAtRest(running);
  });

  for (const [what, bytes] of [
    ['extensions of a chunk', `2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`],
    ['trailers', `2\r\n{}\r\n0\r\nX-Trailer: ${'x'.repeat(40_000)}\r\n\r\n`],
  ] as const) {
    it(`is refused, and no backend asked, when there is no end of ${what}`, async () => {
      await start();
      const answer = await exchange(running.port, CHUNKED + bytes);
      assert.ok([400, 431].includes(answer.status), `answered ${answer.status}`);
      assert.match(codeOf(answer), /^(?:malformed_request|headers_too_large)$/);
      assert.equal(answer.headers['connection'], 'close');
      assert.deepEqual(callCounts(running), [0, 0]);
      await assertAtRest(running);
      assert.ok(running.log.some((line) => line.startsWith('Refused a connection: ')));
    });
  }

  it('in chunks of one byte takes no more memory than its bytes are worth', async () => {
    await start();
    const count = 400_000;
    const connection = await connectTo(running.port);
    await written(connection, CHUNKED);
    const piece = '1\r\n \r\n'.repeat(10_000);
    await written(connection, piece);
    await until(() => running.balancer.admission.bodies.taken === 10_000);
    const before = heapBytes();
    for (let sent = 10_000; sent < count; sent += 10_000) await written(connection, piece);
    await until(() => running.balancer.admission.bodies.taken === count);
    const growth = heapBytes() - before;
    assert.ok(growth < 20 * count, `${growth} bytes more for ${count}`);
    const body = chat();
    await written(connection, `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
    assert.equal((await connection.answer()).status, 200);
    await assertArrived(' '.repeat(count) + body);
  });
});

describe('a caller that expects 100-continue', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  const body = chat();
  const expecting = [...START, 'Expect: 100-continue'];

  it('is told to go on before its body is read, once, and nothing of it goes upstream', async () => {
    running = await startBalancer({ backends: 2 });
    const connection = await connectTo(running.port);
    for (const framing of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
      connection.write(head(...expecting, framing));
      const interim = await connection.answer();
      assert.deepEqual([interim.status, interim.head], [100, 'HTTP/1.1 100 Continue\r\n\r\n']);
      connection.write(framing.startsWith('C') ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
      const answer = await connection.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['connection'], 'keep-alive');
      const call = running.resources[0]?.calls.at(-1);
      assertCall(call, { path: UPSTREAM_PATH, body, key: 'key-1' });
      assert.equal(call?.headers.expect, undefined);
    }
    await assertAtRest(running, 1);
  });

  it('and does not wait for it is served all the same', async () => {
    running = await startBalancer({ backends: 2 });
    const connection = await connectTo(running.port);
    connection.write(head(...expecting, 'Connection: close', `Content-Length: ${body.length}`) + body);
    assert.deepEqual([(await connection.answer()).status, (await connection.answer()).status], [100, 200]);
    assert.deepEqual(callCounts(running), [1, 0]);
    await assertAtRest(running);
  });

  it('is told to go on when it is its turn, not into the answer before', async () => {
    running = await startBalancer({ backends: 2 });
    running.resources[0]?.script({ kind: 'slow-first-byte', ms: 50 });
    const connection = await connectTo(running.port);
    connection.write(head(...START, `Content-Length: ${body.length}`) + body);
    connection.write(head(...expecting, 'Connection: close', `Content-Length: ${body.length}`));
    assert.equal((await connection.answer()).status, 200);
    assert.equal((await connection.answer()).status, 100);
    connection.write(body);
    assert.equal((await connection.answer()).status, 200);
    assert.deepEqual(callCounts(running), [2, 0]);
    await assertAtRest(running);
  });

  const refused: Readonly<Record<string, readonly [string, readonly string[], Readonly<Record<string, string>>]>> = {
    'without a credential': ['missing_credential', expecting.filter((line) => !line.startsWith('api-key')), {}],
    'with an unknown one': [
      'unknown_credential',
      expecting.map((line) => (line.startsWith('api-key') ? 'api-key: x' : line)),
      {},
    ],
    'for a path that nobody serves': ['unknown_path', ['POST /nowhere HTTP/1.1', ...expecting.slice(1)], {}],
    'with a body that is too large': ['body_too_large', expecting, { MAX_BODY_BYTES: '10' }],
    'with a compressed body': ['invalid_content_encoding', [...expecting, 'Content-Encoding: gzip'], {}],
    'for a WebSocket': [
      'websocket_not_supported',
      [...expecting, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      {},
    ],
  };
  for (const [what, [code, lines, settings]] of Object.entries(refused)) {
    it(`${what} is refused before it sends its body`, async () => {
      running = await startBalancer({ backends: 2, settings });
      const connection = await connectTo(running.port);
      const { received, finished } = await watch(running, () => {
        connection.write(head(...lines, `Content-Length: ${body.length}`));
        return connection.answer();
      });
      assert.equal(codeOf(received), code);
      assert.equal(received.headers['connection'], 'close');
      assert.deepEqual([finished.ending, finished.code, finished.status], ['refused', code, received.status]);
      connection.socket.end(); // A client that was refused does not send its body.
      assert.equal(await connection.rest(), '');
      assert.deepEqual(callCounts(running), [0, 0]);
      await assertAtRest(running);
    });
  }

  it('in HTTP/1.0 is not told, for it would not understand', async () => {
    running = await startBalancer({ backends: 2 });
    const request = head(...expecting, `Content-Length: ${body.length}`).replace('HTTP/1.1', 'HTTP/1.0') + body;
    const answer = await exchange(running.port, request);
    assert.equal(answer.status, 200);
    assert.equal(answer.rest, '');
    assertCall(running.resources[0]?.calls[0], { path: UPSTREAM_PATH, body, key: 'key-1' });
    await assertAtRest(running);
  });
});

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

/** Resolves when the bytes were handed to the network. */
function written({ socket }: RawConnection, bytes: string | Buffer): Promise<void> {
  return new Promise((resolve) => {
    socket.write(bytes, () => resolve());
  });
}

/** What is left on the heap after all garbage was collected. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  assert.ok(typeof collect === 'function');
  Reflect.apply(collect, undefined, []);
  return process.memoryUsage().heapUsed;
}
