import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Received } from '../support/http.ts';
import { answerOf, callCounts, course, statesOf } from '../support/observed.ts';
import { head } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawAnswering, type RawUpstream } from '../support/raw-upstream.ts';
import { until } from '../support/until.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const JSON_TYPE = 'content-type: application/json';
const BODY = chat();
const STREAM = chat({ stream: true });

function post(body: string, ...more: readonly string[]): string {
  const lines = ['POST /v1/chat/completions HTTP/1.1', 'Host: x', `api-key: ${CLIENT_KEY}`, ...more];
  return head(...lines, `Content-Length: ${body.length}`) + body;
}

describe('a backend that is there no more, though its connection is', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  let open: Socket[];
  beforeEach(() => {
    open = [];
  });
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  async function start(onRequest: RawAnswering, settings: Readonly<Record<string, string>> = {}): Promise<void> {
    upstream = await startRawUpstream((socket, request) => {
      if (!open.includes(socket)) open.push(socket);
      onRequest(socket, request);
    });
    running = await startBalancer({
      backends: 2,
      settings: { BACKEND_1_URL: upstream.url, HTTP_TIMEOUT_SECONDS: '0.2', ...settings },
    });
  }

  const ask = (body = BODY): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body });

  async function assertFailedOver(cause: string, states: string): Promise<void> {
    const { received, finished } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: `openai1=${cause} openai2=200` });
    assert.equal(finished.ending, 'delivered');
    assert.equal(running.resources[1]?.calls.length, 1);
    assert.deepEqual(statesOf(running), [states, 'closed/closed']);
    await assertAtRest(running);
    await until(() => open.every((socket) => socket.destroyed));
  }

  it('takes the request and is silent: it is failed over after HTTP_TIMEOUT_SECONDS, and the connection given up', async () => {
    await start(() => undefined);
    await assertFailedOver('header-timeout', 'closed/closed(1)');
    assert.equal(upstream.requests.length, 1);
  });

  it('was answering on this connection before: silence there is no stale connection, and is not tried twice', async () => {
    await start((socket) => {
      if (upstream.requests.length === 1) socket.write(rawAnswer('200 OK', [JSON_TYPE], '{}'));
    });
    assert.equal((await ask()).status, 200);
    await assertFailedOver('header-timeout', 'closed/closed(1)');
    assert.deepEqual([upstream.requests.length, upstream.connections], [2, 1]);
  });

  it('ends its side before it answers: it is failed over at once', async () => {
    await start((socket) => socket.end());
    await assertFailedOver('reset', 'closed/closed(1)');
  });

  it('sends half of its headers and no more: it is failed over after HTTP_TIMEOUT_SECONDS', async () => {
    await start((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-ty'));
    await assertFailedOver('header-timeout', 'closed/closed(1)');
  });

  it('never ends its side after an answer that was its last: the balancer does', async () => {
    await start((socket) => socket.write(rawAnswer('200 OK', ['connection: close', JSON_TYPE], '{}')));
    for (const _ of [1, 2]) {
      const { received } = await watch(running, () => ask());
      assert.deepEqual([received.status, received.body.toString()], [200, '{}']);
      await assertAtRest(running);
      await until(() => open.every((socket) => socket.destroyed));
    }
    assert.equal(upstream.connections, 2);
  });

  it('falls silent in the middle of a whole answer: nothing of it is given, it is failed over', async () => {
    await start((socket) => socket.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\ncontent-length: 100\r\n\r\n{"half":`), {
      STREAM_IDLE_TIMEOUT_SECONDS: '0.2',
    });
    await assertFailedOver('header-timeout', 'closed/closed(1)');
  });

  it('falls silent in the middle of a stream: the caller is told in-band, and the connection given up', async () => {
    await start(
      (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2'),
      {
        STREAM_IDLE_TIMEOUT_SECONDS: '0.2',
      },
    );
    const { received, finished } = await watch(running, () => ask(STREAM));
    assert.deepEqual([received.status, received.isComplete], [200, false]);
    assert.match(received.body.toString(), /^data: 1\n\nevent: error\ndata: \{[^\n]*"code":"stream_idle"[^\n]*\}\n\n$/);
    assert.deepEqual([finished.ending, finished.status, finished.backend], ['broken', 200, 'openai1']);
    assert.equal(running.resources[1]?.calls.length, 0);
    await assertAtRest(running);
    await until(() => open.every((socket) => socket.destroyed));
  });
});

describe('a caller that ends its sending side (shutdown), which cannot be told from one that left', () => {
  let running: RunningBalancer;
  const sockets: Socket[] = [];
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await running.close();
  });

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ backends: 2, ...setup });
  }

  /** All that comes until the balancer has ended its side too. */
  function shutDownAfter(bytes: string, onData?: (socket: Socket) => void): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect({ port: running.port, host: '127.0.0.1', allowHalfOpen: true });
      sockets.push(socket);
      let text = '';
      socket.on('data', (piece) => {
        text += piece.toString('latin1');
        onData?.(socket);
      });
      socket.on('error', () => undefined);
      socket.on('end', () => socket.destroy());
      socket.on('close', () => resolve(text));
      if (onData === undefined) socket.end(bytes);
      else socket.write(bytes);
    });
  }

  for (const body of [BODY, STREAM]) {
    it(`has its request cancelled, and nobody blamed, while it waits (${body === BODY ? 'plain' : 'stream'})`, async () => {
      await start();
      const [first] = running.resources;
      first?.script({ kind: 'hang' });
      const { received, finished } = await watch(running, () => shutDownAfter(post(body)));
      assert.equal(received, '');
      assert.deepEqual([finished.ending, finished.status], ['abandoned', 499]);
      assert.ok((first?.calls.length ?? 0) <= 1);
      assert.equal(running.resources[1]?.calls.length, 0);
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      await assertAtRest(running);
      first?.clearFaults();
      assert.equal(
        answerOf(await send(`${running.url}/v1/chat/completions`, { body: BODY })),
        'openai1 answers: Say hello.',
      );
    });
  }

  it('in the middle of a stream has it cancelled, and sees that it is not whole', async () => {
    await start();
    const [first] = running.resources;
    first?.script({ kind: 'stall', afterChunks: 2 });
    let hasEnded = false;
    const { received, finished } = await watch(running, () =>
      shutDownAfter(post(STREAM), (socket) => {
        if (!hasEnded) socket.end();
        hasEnded = true;
      }),
    );
    assert.match(received, /^HTTP\/1\.1 200 OK\r\n/);
    assert.ok(!received.endsWith('0\r\n\r\n'));
    assert.equal(finished.ending, 'abandoned');
    assert.deepEqual(callCounts(running), [1, 0]);
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  it('in the middle of its body asks no backend', async () => {
    await start();
    const from = running.events.length;
    const received = await shutDownAfter(post(BODY).slice(0, -10));
    assert.match(received, /^(?:HTTP\/1\.1 400 |$)/);
    const finished = await running.event('request-finished', from);
    assert.equal(finished.attempts, 0);
    assert.deepEqual(callCounts(running), [0, 0]);
    await assertAtRest(running);
  });

  it('gets what is known at once: /healthz, and a refusal', async () => {
    await start();
    assert.match(await shutDownAfter(head('GET /healthz HTTP/1.1', 'Host: x')), /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(
      await shutDownAfter(head('GET /nowhere HTTP/1.1', 'Host: x')),
      /^HTTP\/1\.1 404 Not Found\r\n[^]*"code":"unknown_path"/,
    );
    await assertAtRest(running);
  });

  it('between two requests is let go', async () => {
    await start();
    const received = await shutDownAfter(post(BODY), (socket) => socket.end());
    assert.match(received, /^HTTP\/1\.1 200 OK\r\n[^]*openai1 answers/);
    await assertAtRest(running);
  });
});
