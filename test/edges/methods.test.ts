import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { callCounts, statesOf } from '../support/observed.ts';
import { connectTo, head } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';
import { assertAtRest } from '../support/watched.ts';

const HOST = 'Host: balancer.example';
const KEY = `api-key: ${CLIENT_KEY}`;

/** What a caller may write, and what a backend is asked for it. */
const FORMS: Readonly<Record<string, string>> = {
  '/v1/models': '/openai/v1/models',
  '/openai/v1/models': '/openai/v1/models',
  '/models': '/openai/v1/models',
  '/openai/models?api-version=2024-10-21': '/openai/models?api-version=2024-10-21',
  '/v1/files/file-1/content': '/openai/v1/files/file-1/content',
  '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2024-10-21':
    '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2024-10-21',
};

describe('a method that asks about a resource', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  async function start(answer: string): Promise<void> {
    upstream = await startRawUpstream((socket) => socket.write(answer));
    running = await startBalancer({ backends: 2, settings: { BACKEND_1_URL: upstream.url } });
  }

  for (const [form, asked] of Object.entries(FORMS)) {
    for (const method of ['HEAD', 'OPTIONS']) {
      it(`is passed in every form of the path, without a body: ${method} ${form}`, async () => {
        const body = method === 'HEAD' ? '' : '{}';
        const headers = ['allow: GET, POST', 'content-type: application/json'];
        await start(
          method === 'HEAD'
            ? `HTTP/1.1 200 OK\r\n${headers.join('\r\n')}\r\ncontent-length: 1234\r\n\r\n`
            : rawAnswer('200 OK', headers, body),
        );
        const connection = await connectTo(running.port);
        for (const _ of [1, 2]) {
          connection.write(head(`${method} ${form} HTTP/1.1`, HOST, KEY));
          const answer = await connection.answer(method);
          assert.deepEqual([answer.status, answer.body], [200, body]);
          assert.equal(answer.headers['content-length'], method === 'HEAD' ? '1234' : '2');
          assert.equal(answer.headers['allow'], 'GET, POST');
          assert.equal(answer.headers['x-balancer-trace'], 'openai1=200');
          const sent = upstream.requests.at(-1) ?? '';
          assert.ok(sent.startsWith(`${method} ${asked} HTTP/1.1\r\n`), sent);
          assert.match(sent, /\r\napi-key: key-1\r\n/i);
          assert.ok(!sent.includes(CLIENT_KEY));
          assert.ok(!/^(?:content-length: *[1-9]|transfer-encoding:)/im.test(sent));
        }
        // Nothing was left on either connection that could be taken for something else.
        connection.write(head('GET /healthz HTTP/1.1', HOST, 'Connection: close'));
        assert.equal((await connection.answer()).status, 200);
        assert.equal(await connection.rest(), '');
        assert.deepEqual([upstream.requests.length, upstream.connections], [2, 1]);
        assert.equal(running.resources[1]?.calls.length, 0);
        assert.deepEqual(statesOf(running, 'gpt-5.4-mini'), ['closed/closed', 'closed/closed']);
        await assertAtRest(running);
      });
    }
  }

  it('gets an error without its body, and its length, for HEAD', async () => {
    const body = '{"error":{"code":"404","message":"Resource not found"}}';
    await start(`HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`);
    const connection = await connectTo(running.port);
    for (const _ of [1, 2]) {
      connection.write(head('HEAD /v1/models/none HTTP/1.1', HOST, KEY));
      const answer = await connection.answer('HEAD');
      assert.deepEqual([answer.status, answer.headers['content-length']], [404, String(body.length)]);
      assert.equal(answer.headers['x-balancer-trace'], 'openai1=404');
    }
    assert.equal(upstream.connections, 1);
    connection.socket.end();
    assert.equal(await connection.rest(), '');
    await assertAtRest(running);
  });

  it('is failed over as any other: HEAD', async () => {
    await start('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 99\r\n\r\n');
    const connection = await connectTo(running.port);
    connection.write(head('HEAD /v1/models HTTP/1.1', HOST, KEY, 'Connection: close'));
    const answer = await connection.answer('HEAD');
    assert.equal(answer.headers['x-balancer-trace'], 'openai1=503 openai2=404');
    assert.equal(answer.status, 404); // The simulated resource serves no HEAD.
    assert.equal(await connection.rest(), '');
    await assertAtRest(running);
  });
});

describe('requests sent ahead on one connection', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  function post(body: string, ...more: readonly string[]): string {
    const lines = ['POST /v1/chat/completions HTTP/1.1', HOST, KEY, 'Content-Type: application/json', ...more];
    return head(...lines, `Content-Length: ${body.length}`) + body;
  }

  const chunked = (body: string): string =>
    head('POST /v1/chat/completions HTTP/1.1', HOST, KEY, 'Transfer-Encoding: chunked') +
    `${body.length.toString(16)};x=y\r\n${body}\r\n0\r\nX-Trailer: 1\r\n\r\n`;

  it('are answered in order, a stream in the middle of them whole', async () => {
    running = await startBalancer({ backends: 2, resource: () => ({ chunkDelayMs: 2 }) });
    const connection = await connectTo(running.port);
    const all = [
      post(chat({ user: 'one' })),
      post(chat({ user: 'two', stream: true })),
      chunked(chat({ user: 'three' })),
      head('HEAD /healthz HTTP/1.1', HOST),
      post(chat({ user: 'four', stream: true })),
      post(chat({ user: 'five' }), 'Connection: close'),
    ];
    connection.write(all.join(''));
    const answers = [];
    for (const method of ['POST', 'POST', 'POST', 'HEAD', 'POST', 'POST'])
      answers.push(await connection.answer(method));
    assert.equal(await connection.rest(), '');
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200, 200, 200],
    );
    for (const at of [1, 4]) {
      assert.match(answers[at]?.headers['content-type'] ?? '', /^text\/event-stream/);
      assert.match(answers[at]?.body ?? '', /^data: [^]*\n\ndata: \[DONE\]\n\n$/);
    }
    for (const at of [0, 2, 5]) assert.match(answers[at]?.body ?? '', /^\{[^]*"content":"openai[12] answers: /);
    assert.equal(answers[3]?.body, '');
    const users = running.resources.flatMap(({ calls }) =>
      calls.map(({ body }) => /"user":"(\w+)"/.exec(body.toString())?.[1]),
    );
    assert.deepEqual(
      users.toSorted((one = '', other = '') => one.localeCompare(other)),
      ['five', 'four', 'one', 'three', 'two'],
    );
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  it('end with a stream that broke: what was sent behind it is never asked of a backend', async () => {
    running = await startBalancer({ backends: 2 });
    running.resources[0]?.script({ kind: 'reset-mid-stream', afterChunks: 2 });
    const connection = await connectTo(running.port);
    connection.write(post(chat({ stream: true })) + post(chat({ user: 'behind' })));
    const text = await connection.rest();
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1, text);
    assert.match(text, /event: error\ndata: \{[^\n]*"code":"stream_broken"/);
    assert.ok(!text.endsWith('0\r\n\r\n'));
    assert.deepEqual(callCounts(running), [1, 0]);
    await assertAtRest(running);
  });
});
