import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Received } from '../support/http.ts';
import { answerOf, course, statesOf } from '../support/observed.ts';
import { rawAnswer, startRawUpstream, type RawAnswering, type RawUpstream } from '../support/raw-upstream.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const LAST = rawAnswer('200 OK', ['content-type: application/json'], '{"a":"b"}');

describe('interim answers (1xx) of a backend', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  async function start(onRequest: RawAnswering, onHead?: RawAnswering, timeout = '10'): Promise<void> {
    upstream = await startRawUpstream(onRequest, onHead);
    running = await startBalancer({
      backends: 2,
      settings: { BACKEND_1_URL: upstream.url, HTTP_TIMEOUT_SECONDS: timeout },
    });
  }

  const ask = (body = chat()): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body });

  for (const [what, interim, count] of [
    ['102', 'HTTP/1.1 102 Processing\r\n\r\n', 500],
    [
      '103 with headers',
      `HTTP/1.1 103 Early Hints\r\nlink: <x>; rel=preload\r\nx-note: ${'x'.repeat(500)}\r\n\r\n`,
      500,
    ],
    ['100 that nobody asked for', 'HTTP/1.1 100 Continue\r\n\r\n', 300],
    ['199', 'HTTP/1.1 199 Whatever\r\n\r\n', 10],
  ] as const) {
    it(`are not passed on, however many: ${count} times ${what}`, async () => {
      await start((socket) => socket.write(interim.repeat(count) + LAST));
      for (const _ of [1, 2]) {
        const { received, finished } = await watch(running, () => ask());
        assert.deepEqual([received.status, received.body.toString(), received.isComplete], [200, '{"a":"b"}', true]);
        assert.deepEqual([received.headers['link'], received.headers['x-note']], [undefined, undefined]);
        assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
        assert.equal(finished.ending, 'delivered');
        await assertAtRest(running);
      }
      assert.deepEqual([upstream.requests.length, upstream.connections], [2, 1]);
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    });
  }

  it('in the middle of a large body change nothing of it', async () => {
    const body = chat({ user: 'x'.repeat(2 ** 20) });
    await start(
      (socket) => socket.write(LAST),
      (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'.repeat(20)),
    );
    const { received } = await watch(running, () => ask(body));
    assert.deepEqual([received.status, received.headers['x-balancer-trace']], [200, 'openai1=200']);
    assert.ok(upstream.requests[0]?.endsWith(`\r\n\r\n${body}`));
    await assertAtRest(running);
  });

  it('without end are no answer: HTTP_TIMEOUT_SECONDS passes all the same', async () => {
    let open: Socket | undefined;
    await start(
      (socket) => {
        open = socket;
        const more = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 5);
        socket.on('close', () => clearInterval(more));
      },
      undefined,
      '0.3',
    );
    const { received, finished } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), {
      backend: 'openai2',
      attempts: '2',
      trace: 'openai1=header-timeout openai2=200',
    });
    assert.equal(finished.ending, 'delivered');
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
    await assertAtRest(running);
    assert.equal(open?.destroyed, true);
  });

  for (const upgrade of ['', 'upgrade: websocket\r\nconnection: upgrade\r\n']) {
    it(`that switch to a protocol nobody asked for are failed over, and the connection is closed (${JSON.stringify(upgrade)})`, async () => {
      await start((socket) => socket.write(`HTTP/1.1 101 Switching Protocols\r\n${upgrade}\r\n${LAST}`));
      const { received } = await watch(running, () => ask());
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: 'openai1=reset openai2=200' });
      assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
      await assertAtRest(running);
    });
  }

  it('before the end of the connection are no answer either', async () => {
    await start((socket) => socket.end('HTTP/1.1 102 Processing\r\n\r\n'));
    const { received } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=reset openai2=200');
    await assertAtRest(running);
  });
});
