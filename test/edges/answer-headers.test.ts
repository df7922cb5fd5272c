import assert from 'node:assert/strict';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { copiedBy } from '../support/copied.ts';
import { chat, send, type Received } from '../support/http.ts';
import { answerOf, course, statesOf } from '../support/observed.ts';
import { exchange, head, type RawAnswer } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const JSON_TYPE = 'content-type: application/json';

describe('headers of a backend', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  /** openai1 answers with these bytes, openai2 is a simulated resource. */
  async function start(answer: string | Buffer): Promise<void> {
    upstream = await startRawUpstream((socket) => socket.write(answer));
    running = await startBalancer({ backends: 2, settings: { BACKEND_1_URL: upstream.url } });
  }

  const ask = (body = chat()): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body });

  /** With no client library's own limits. */
  function askRaw(stream: boolean): Promise<RawAnswer & { readonly rest: string }> {
    const body = chat({ stream });
    const lines = ['POST /v1/chat/completions HTTP/1.1', 'Host: x', `api-key: ${CLIENT_KEY}`, 'Connection: close'];
    return exchange(running.port, head(...lines, `Content-Length: ${body.length}`) + body);
  }

  function linesOf({ head: text }: RawAnswer): readonly string[] {
    return text.split('\r\n').filter((line) => line.startsWith('x-note'));
  }

  const notes: Readonly<Record<string, readonly string[]>> = {
    'one of 17 KiB': [`x-note: ${'a'.repeat(17 * 1024)}`],
    'one of 60 KiB': [`x-note: ${'b'.repeat(60 * 1024)}`],
    '60 KiB in 60': Array.from({ length: 60 }, (_, n) => `x-note-${n}: ${'c'.repeat(1000)}`),
    '2,000': Array.from({ length: 2000 }, (_, n) => `x-note-${n}: d`),
    '2,000 of the same name': Array.from({ length: 2000 }, (_, n) => `x-note: ${n}`),
  };
  for (const [what, lines] of Object.entries(notes)) {
    for (const stream of [false, true]) {
      it(`all reach the caller: ${what}, of a ${stream ? 'stream' : 'whole answer'}`, async () => {
        const type = stream ? 'content-type: text/event-stream' : JSON_TYPE;
        const body = stream ? 'data: 1\n\ndata: [DONE]\n\n' : '{"a":"b"}';
        await start(rawAnswer('200 OK', [...lines, type, 'x-ms-region: last'], body));
        for (const _ of [1, 2]) {
          const { received, finished } = await watch(running, () => askRaw(stream));
          assert.deepEqual([received.status, received.body], [200, body]);
          assert.deepEqual(linesOf(received), lines);
          assert.equal(received.headers['x-ms-region'], 'last');
          assert.equal(received.headers['content-type'], type.replace('content-type: ', ''));
          assert.equal(received.headers['x-balancer-trace'], 'openai1=200');
          assert.equal(finished.ending, 'delivered');
          await assertAtRest(running);
        }
        assert.deepEqual([upstream.requests.length, upstream.connections], [2, 1]);
        assert.equal(running.resources[1]?.calls.length, 0);
        assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      });
    }
  }

  it('after thousands of others still count: a throttle is waited for as long as it says', async () => {
    const many = Array.from({ length: 2000 }, (_, n) => `x-note-${n}: d`);
    await start(rawAnswer('429 Too Many Requests', [...many, 'retry-after-ms: 2500'], 'slow'));
    const { received } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.equal(received.headers['x-balancer-trace'], 'openai1=429(2500ms) openai2=200');
    assert.deepEqual(statesOf(running), ['closed/cooldown', 'closed/closed']);
    await assertAtRest(running);
  });

  it('beyond 64 KiB are no answer: it is failed over, and the log says why', async () => {
    await start(rawAnswer('200 OK', [`x-note: ${'e'.repeat(66_000)}`, JSON_TYPE], '{}'));
    const { received, finished } = await watch(running, () => ask());
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: 'openai1=reset openai2=200' });
    assert.equal(finished.reasons, 'openai1=HPE_HEADER_OVERFLOW');
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
    await assertAtRest(running);
  });
});

describe('an error of a backend that is compressed although it was asked not to', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  async function start(statusLine: string, encoding: string, body: Buffer): Promise<void> {
    const lines = [`HTTP/1.1 ${statusLine}`, JSON_TYPE, `content-encoding: ${encoding}`];
    const bytes = Buffer.concat([Buffer.from(head(...lines, `content-length: ${body.length}`)), body]);
    upstream = await startRawUpstream((socket) => socket.write(bytes));
    running = await startBalancer({ backends: 2, settings: { BACKEND_1_URL: upstream.url } });
  }

  const ask = (): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body: chat() });

  function errorWith(code: string): string {
    return JSON.stringify({ error: { code, message: 'No.' } });
  }

  const codings = { gzip: gzipSync, GZIP: gzipSync, deflate: deflateSync, br: brotliCompressSync } as const;
  for (const [encoding, compress] of Object.entries(codings)) {
    for (const [statusLine, code, state] of [
      ['404 Not Found', 'DeploymentNotFound', 'closed/missing'],
      ['401 Unauthorized', 'PermissionDenied', 'closed/closed'],
      ['400 Bad Request', 'OperationNotSupported', 'closed/closed'],
    ] as const) {
      it(`is understood: ${code} in ${encoding}`, async () => {
        await start(statusLine, encoding, compress(errorWith(code)));
        const { received, finished } = await watch(running, ask);
        assert.equal(answerOf(received), 'openai2 answers: Say hello.');
        const status = statusLine.slice(0, 3);
        assert.deepEqual(course(received), {
          backend: 'openai2',
          attempts: '2',
          trace: `openai1=${status} openai2=200`,
        });
        assert.match(upstream.requests[0] ?? '', /\r\naccept-encoding: identity\r\n/i);
        assert.equal(finished.ending, 'delivered');
        assert.deepEqual(statesOf(running), [state, 'closed/closed']);
        await assertAtRest(running);
      });
    }
  }

  it('reaches the caller as the bytes it is', async () => {
    const body = gzipSync(errorWith('content_filter'));
    await start('400 Bad Request', 'gzip', body);
    for (const _ of [1, 2]) {
      const { received, finished } = await watch(running, ask);
      assert.equal(received.status, 400);
      assert.equal(received.headers['content-encoding'], 'gzip');
      assert.ok(received.body.equals(body));
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=400' });
      assert.equal(finished.ending, 'delivered');
      await assertAtRest(running);
    }
    assert.equal(upstream.connections, 1);
  });

  for (const [what, body] of [
    ['is not what it says', Buffer.from(errorWith('DeploymentNotFound'))],
    ['is a bomb', gzipSync(`${errorWith('DeploymentNotFound')}${' '.repeat(16 * 2 ** 20)}`)],
  ] as const) {
    it(`counts by its status alone when it ${what}`, async () => {
      await start('404 Not Found', 'gzip', body);
      const copied = await copiedBy(async () => {
        const { received } = await watch(running, ask);
        assert.equal(received.status, 404);
        assert.ok(received.body.equals(body));
        assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=404' });
      });
      assert.ok(copied < 2 ** 20, `${copied} bytes`); // It was not taken apart to its end.
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      await assertAtRest(running);
    });
  }
});
