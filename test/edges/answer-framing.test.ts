import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Received } from '../support/http.ts';
import { answerOf, course, eventsIn, statesOf } from '../support/observed.ts';
import { rawAnswer, startRawUpstream, type RawAnswering, type RawUpstream } from '../support/raw-upstream.ts';
import { until } from '../support/until.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const JSON_TYPE = 'content-type: application/json';
const CHUNKED = `HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n`;
const EVIL = rawAnswer('200 OK', [JSON_TYPE], '{"for":"somebody else"}');

describe('where an answer of a backend ends', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  /** openai1 is made of bytes, openai2 is a simulated resource. */
  async function start(answering: RawAnswering): Promise<void> {
    upstream = await startRawUpstream(answering);
    running = await startBalancer({ backends: 2, settings: { BACKEND_1_URL: upstream.url } });
  }

  const ask = (body = chat()): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body });

  /** This is what the caller gets, twice: the second time over whatever connection is left. */
  async function assertPassed(expected: { readonly status: number; readonly body: string }): Promise<void> {
    for (const _ of [1, 2]) {
      const { received, finished } = await watch(running, () => ask());
      assert.deepEqual([received.status, received.body.toString()], [expected.status, expected.body]);
      assert.equal(received.isComplete, true);
      assert.deepEqual(course(received), {
        backend: 'openai1',
        attempts: '1',
        trace: `openai1=${expected.status}`,
      });
      assert.deepEqual([finished.ending, finished.reasons], ['delivered', undefined]);
      await assertAtRest(running);
    }
    assert.equal(upstream.requests.length, 2);
    assert.equal(running.resources[1]?.calls.length, 0);
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
  }

  for (const status of ['204 No Content', '304 Not Modified']) {
    for (const [what, headers, body] of [
      ['a length and a body', 'content-length: 5\r\n', 'hello'],
      ['a body', '', 'hello'],
      ['chunks', 'transfer-encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n'],
      ['another answer in place of a body', '', EVIL],
    ] as const) {
      it(`is after the headers of a ${status} that has ${what} all the same`, async () => {
        await start((socket) => socket.write(`HTTP/1.1 ${status}\r\n${headers}\r\n${body}`));
        await assertPassed({ status: Number(status.slice(0, 3)), body: '' });
      });
    }
  }

  it('is after the body of a 205 that has one all the same', async () => {
    await start((socket) => socket.write(rawAnswer('205 Reset Content', [], 'hello')));
    await assertPassed({ status: 205, body: 'hello' });
  });

  for (const [what, more] of [
    ['bytes', 'MORE'],
    ['another answer', EVIL],
  ] as const) {
    it(`is after so many bytes as were said, with ${what} behind them`, async () => {
      await start((socket) => socket.write(rawAnswer('200 OK', [JSON_TYPE], '{}') + more));
      await assertPassed({ status: 200, body: '{}' });
      // Nobody knows where the next answer would begin.
      assert.equal(upstream.connections, 2);
    });
  }

  it('is after the headers of an answer to HEAD, whatever comes behind them', async () => {
    await start((socket) => socket.write(rawAnswer('200 OK', [JSON_TYPE], '{"never":"sent"}')));
    for (const _ of [1, 2]) {
      const received = await send(`${running.url}/v1/models`, { method: 'HEAD' });
      assert.deepEqual([received.status, received.body.length], [200, 0]);
      assert.equal(received.headers['content-length'], '16');
      await assertAtRest(running);
    }
    assert.equal(upstream.connections, 2);
  });

  it('is never taken from what a backend sends on an idle connection', async () => {
    let open: Socket | undefined;
    await start((socket) => {
      open = socket;
      socket.write(rawAnswer('200 OK', [JSON_TYPE], `{"n":${upstream.requests.length}}`));
    });
    for (const unasked of [EVIL, rawAnswer('408 Request Timeout', ['connection: close'], 'idle for too long')]) {
      const before = upstream.requests.length;
      assert.equal((await ask()).body.toString(), `{"n":${before + 1}}`);
      const idle = open;
      assert.ok(idle !== undefined);
      idle.write(unasked);
      await until(() => idle.destroyed); // The connection is of no use any more.
      const next = await ask();
      assert.equal(next.body.toString(), `{"n":${before + 2}}`);
      assert.deepEqual(course(next), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
    }
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  for (const [what, answer] of [
    ['in HTTP/1.0 with a length', `HTTP/1.0 200 OK\r\n${JSON_TYPE}\r\ncontent-length: 9\r\n\r\n{"a":"b"}`],
    ['in HTTP/1.0 without a length', `HTTP/1.0 200 OK\r\n${JSON_TYPE}\r\n\r\n{"a":"b"}`],
    ['in HTTP/1.1 without a length', `HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\n\r\n{"a":"b"}`],
    ['in HTTP/1.1 that said it would close', `HTTP/1.1 200 OK\r\nconnection: close\r\n${JSON_TYPE}\r\n\r\n{"a":"b"}`],
  ] as const) {
    it(`is the end of the connection: ${what}`, async () => {
      await start((socket) => socket.end(answer));
      await assertPassed({ status: 200, body: '{"a":"b"}' });
      assert.equal(upstream.connections, 2);
    });
  }

  it('is after its length in HTTP/1.0 too, on a connection that is kept', async () => {
    await start((socket) =>
      socket.write(`HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n${JSON_TYPE}\r\ncontent-length: 9\r\n\r\n{"a":"b"}`),
    );
    await assertPassed({ status: 200, body: '{"a":"b"}' });
    assert.equal(upstream.connections, 1);
  });

  it('of a connection that should close is not waited for: the balancer closes it', async () => {
    let open: Socket | undefined;
    await start((socket) => {
      open = socket;
      socket.write(rawAnswer('200 OK', ['connection: close', JSON_TYPE], '{"a":"b"}'));
    });
    await assertPassed({ status: 200, body: '{"a":"b"}' });
    await until(() => open?.destroyed === true);
    assert.equal(upstream.connections, 2);
  });

  it('of a stream in HTTP/1.0 is the end of the connection, and each event comes as it is sent', async () => {
    let socketOf: Socket | undefined;
    await start((socket) => {
      socketOf = socket;
      socket.write('HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n');
    });
    const pieces: string[] = [];
    const { received, finished } = await watch(running, () =>
      send(`${running.url}/v1/chat/completions`, {
        body: chat({ stream: true }),
        onData: (piece) => {
          pieces.push(piece.toString());
          socketOf?.end('data: [DONE]\n\n');
        },
      }),
    );
    assert.deepEqual(pieces, ['data: 1\n\n', 'data: [DONE]\n\n']);
    assert.deepEqual([received.status, received.isComplete, finished.ending], [200, true, 'delivered']);
    assert.equal(received.headers['transfer-encoding'], 'chunked');
    await assertAtRest(running);
  });

  it('before the length that was said is a cut: failed over while nothing was given out', async () => {
    await start((socket) => socket.end(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\ncontent-length: 100\r\n\r\n{"half":`));
    const { received, finished } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=reset openai2=200');
    assert.equal(finished.ending, 'delivered');
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
    await assertAtRest(running);
  });

  it('before the length that was said is a cut that the caller sees, when too much was given out', async () => {
    const half = 'x'.repeat(100_000);
    await start((socket) => socket.end(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\ncontent-length: 200000\r\n\r\n${half}`));
    const { received, finished } = await watch(running, () => ask());
    assert.deepEqual([received.status, received.headers['content-length']], [200, '200000']);
    assert.equal(received.isComplete, false);
    assert.ok(half.startsWith(received.body.toString()));
    assert.deepEqual([finished.ending, finished.status], ['broken', 200]);
    assert.equal(running.resources[1]?.calls.length, 0);
    await assertAtRest(running);
  });

  for (const framing of [
    'content-length: 2\r\ntransfer-encoding: chunked',
    'transfer-encoding: chunked\r\ncontent-length: 2',
    'content-length: 2\r\ncontent-length: 30',
  ]) {
    it(`is not where two lengths disagree: ${JSON.stringify(framing)}`, async () => {
      await start((socket) => socket.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\n${framing}\r\n\r\n{}${EVIL}`));
      const { received, finished } = await watch(running, () => ask());
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: 'openai1=reset openai2=200' });
      assert.match(finished.reasons ?? '', /^openai1=HPE_[A-Z_]+$/);
      assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
      await assertAtRest(running);
    });
  }

  it('is after the last chunk, whose extensions and trailers go no further', async () => {
    const body = '{"a":"b"}';
    await start((socket) => {
      const chunks = Array.from(body, (byte, n) => `1;n=${n};note="a; b"\r\n${byte}\r\n`).join('');
      const headers = `trailer: x-checksum\r\ntransfer-encoding: chunked\r\n${JSON_TYPE}\r\n`;
      socket.write(
        `HTTP/1.1 200 OK\r\n${headers}\r\n${chunks}0;last\r\nx-checksum: 1\r\nx-undeclared: 2\r\nset-cookie: a=b\r\n\r\n`,
      );
    });
    for (const _ of [1, 2]) {
      const { received } = await watch(running, () => ask());
      assert.deepEqual([received.status, received.body.toString(), received.isComplete], [200, body, true]);
      for (const name of ['trailer', 'x-checksum', 'x-undeclared', 'set-cookie']) {
        assert.equal(received.headers[name], undefined);
      }
      await assertAtRest(running);
    }
    assert.equal(upstream.connections, 1);
  });

  it('of a stream is after the last chunk too, trailers or not', async () => {
    const events = 'data: {"x":"é漢😀"}\n\ndata: [DONE]\n\n';
    await start((socket) => {
      const chunks = Array.from(Buffer.from(events), (byte) => `1;ext\r\n${String.fromCharCode(byte)}\r\n`).join('');
      const answer = `${CHUNKED.replace('application/json', 'text/event-stream')}${chunks}0\r\nx-trailer: 1\r\n\r\n`;
      socket.write(Buffer.from(answer, 'latin1'));
    });
    for (const _ of [1, 2]) {
      const { received } = await watch(running, () => ask(chat({ stream: true })));
      assert.deepEqual([received.body.toString(), received.isComplete], [events, true]);
      assert.deepEqual(eventsIn(received.body.toString()), ['{"x":"é漢😀"}', '[DONE]']);
      await assertAtRest(running);
    }
    assert.equal(upstream.connections, 1);
  });

  it('is not looked for behind 16 KiB of chunk extensions: that is failed over', async () => {
    await start((socket) => socket.write(`${CHUNKED}2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`));
    const { received, finished } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=reset openai2=200');
    assert.equal(finished.ending, 'delivered');
    await assertAtRest(running);
  });

  for (const [type, text] of [
    ['application/json', JSON.stringify({ text: 'é漢😀'.repeat(2000) })],
    ['text/event-stream', `data: ${'é漢😀'.repeat(300)}\n\n`.repeat(6)],
  ] as const) {
    it(`is found behind thousands of chunks of one byte each: ${type}`, async () => {
      await start((socket) => {
        const chunks = Array.from(Buffer.from(text), (byte) => `1\r\n${String.fromCharCode(byte)}\r\n`).join('');
        const answer = `${CHUNKED.replace('application/json', type)}${chunks}0\r\n\r\n`;
        socket.write(Buffer.from(answer, 'latin1'));
      });
      const { received } = await watch(running, () => ask());
      assert.deepEqual([received.status, received.isComplete], [200, true]);
      assert.ok(received.body.equals(Buffer.from(text)));
      assert.equal(received.headers['content-type'], type);
      await assertAtRest(running);
    });
  }

  it('is found in time behind long events of which every byte is a chunk of its own', async () => {
    const text = `data: ${'x'.repeat(60_000)}\n\n`;
    const chunks = Array.from(text, (byte) => `1\r\n${byte}\r\n`).join('');
    await start((socket) =>
      socket.write(`${CHUNKED.replace('application/json', 'text/event-stream')}${chunks}0\r\n\r\n`),
    );
    for (let n = 0; n < 6; n += 1) {
      const { received } = await watch(running, () => ask(chat({ stream: true })));
      assert.deepEqual([received.body.toString() === text, received.isComplete], [true, true]);
      await assertAtRest(running);
    }
  }).timeout(5000);
});
