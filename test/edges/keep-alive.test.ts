import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { connectTo, head } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

const BODY = chat();
const ASK =
  head(
    'POST /v1/chat/completions HTTP/1.1',
    'Host: x',
    `api-key: ${CLIENT_KEY}`,
    'Content-Type: application/json',
    `Content-Length: ${BODY.length}`,
  ) + BODY;
const STREAM = chat({ stream: true });
const ASK_STREAM = ASK.replace(`${BODY.length}\r\n\r\n${BODY}`, `${STREAM.length}\r\n\r\n${STREAM}`);
const UNKNOWN = head('GET /nowhere HTTP/1.1', 'Host: x', `api-key: ${CLIENT_KEY}`);

describe('a kept connection', () => {
  let upstream: RawUpstream | undefined;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream?.close();
    upstream = undefined;
  });

  async function startWith(answer: string): Promise<RawUpstream> {
    upstream = await startRawUpstream((socket) => socket.write(answer));
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    return upstream;
  }

  it('of a caller is offered for longer than any ingress keeps it (240 s)', async () => {
    running = await startBalancer({ backends: 1 });
    const connection = await connectTo(running.port);
    for (const request of [ASK, ASK_STREAM, head('GET /healthz HTTP/1.1', 'Host: x')]) {
      connection.write(request);
      const answer = await connection.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['connection'], 'keep-alive');
      const timeout = Number(/^timeout=(\d+)$/.exec(answer.headers['keep-alive'] ?? '')?.[1]);
      assert.ok(timeout >= 240, answer.headers['keep-alive']);
    }
  });

  it('to a backend carries the requests of one caller connection, plain and streamed, one after another', async () => {
    running = await startBalancer({ backends: 1 });
    const connection = await connectTo(running.port);
    for (const request of [ASK, ASK_STREAM, ASK]) {
      connection.write(request);
      assert.equal((await connection.answer()).status, 200);
    }
    assert.equal(running.resources[0]?.calls.length, 3);
    assert.equal(running.resources[0]?.openSockets, 1);
    running.assertIdle();
  });

  it('to a backend carries the requests of different callers too', async () => {
    const { requests, url } = await startWith(rawAnswer('200 OK', [], '{}'));
    for (const _ of [1, 2, 3]) {
      const connection = await connectTo(running.port);
      connection.write(ASK);
      assert.equal((await connection.answer()).status, 200);
    }
    assert.equal(requests.length, 3);
    assert.equal(upstream?.connections, 1, url);
  });

  it('to a backend is used again after an error of the backend', async () => {
    await startWith(rawAnswer('400 Bad Request', [], '{"error":{"code":"content_filter"}}'));
    const connection = await connectTo(running.port);
    for (const _ of [1, 2]) {
      connection.write(ASK);
      assert.equal((await connection.answer()).status, 400);
    }
    assert.equal(upstream?.connections, 1);
    running.assertIdle();
  });

  it("of a caller outlives the backend's, which asked to close its own", async () => {
    await startWith(rawAnswer('200 OK', ['connection: close'], '{}'));
    const connection = await connectTo(running.port);
    for (const _ of [1, 2]) {
      connection.write(ASK);
      const answer = await connection.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['connection'], 'keep-alive');
    }
    assert.equal(upstream?.connections, 2);
    running.assertIdle();
  });

  it('that the backend closed while it was idle costs the caller nothing', async () => {
    running = await startBalancer({ backends: 1 });
    const [resource] = running.resources;
    const connection = await connectTo(running.port);
    for (const _ of [1, 2, 3]) {
      connection.write(ASK);
      const answer = await connection.answer();
      assert.deepEqual([answer.status, answer.headers['x-balancer-backend']], [200, 'openai1']);
      resource?.dropIdleSockets();
    }
    assert.equal(resource?.calls.length, 3);
    running.assertIdle();
  });

  it('of a caller ends when the caller asks for it', async () => {
    running = await startBalancer({ backends: 1 });
    const connection = await connectTo(running.port);
    connection.write(ASK.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    const answer = await connection.answer();
    assert.deepEqual([answer.status, answer.headers['connection']], [200, 'close']);
    assert.equal(await connection.rest(), '');
    assert.equal(running.resources[0]?.openSockets, 1);
  });

  it('of a caller ends with a refusal at the door, and is answered whole', async () => {
    running = await startBalancer({ backends: 1 });
    const connection = await connectTo(running.port);
    connection.write(UNKNOWN);
    const answer = await connection.answer();
    assert.deepEqual([answer.status, answer.headers['connection']], [404, 'close']);
    assert.equal(await connection.rest(), '');
  });

  it('is closed when it was idle for the time that was offered', async () => {
    running = await startBalancer({
      backends: 1,
      serverLimits: { keepAliveMs: 100, headersMs: 1000, requestMs: 5000 },
    });
    const connection = await connectTo(running.port);
    connection.write(ASK);
    assert.equal((await connection.answer()).status, 200);
    assert.equal(await connection.rest(), '');
  });
});
