import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { chat, send, type Received } from '../support/http.ts';
import { endProcesses, startProcess, type RunningProcess } from '../support/process.ts';
import { connectTo, head, type RawConnection } from '../support/raw.ts';
import { startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

const STREAM_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n';
const CHUNK = `${EVENT.length.toString(16)}\r\n${EVENT}\r\n`;
const LAST = 'data: [DONE]\n\n';
const END = `${LAST.length.toString(16)}\r\n${LAST}\r\n0\r\n\r\n`;

/** A stream whose first event the caller has, and whose rest the test gives when it likes. */
interface OpenStream {
  readonly received: Promise<Received>;
  readonly upstream: Socket;
}

describe('the process on a signal', function () {
  this.timeout(30_000);
  let upstream: RawUpstream | undefined;
  let fleet: TestFleet | undefined;
  afterEach(async () => {
    await endProcesses();
    await upstream?.close();
    await fleet?.close();
    upstream = undefined;
    fleet = undefined;
  });

  let streams: Socket[] = [];
  async function startWithStreams(drainSeconds: string): Promise<RunningProcess> {
    streams = [];
    upstream = await startRawUpstream((socket) => {
      streams.push(socket);
      socket.write(STREAM_HEAD + CHUNK);
    });
    return startProcess({ BACKEND_1_URL: upstream.url, BACKEND_1_APIKEY: 'key', DRAIN_SECONDS: drainSeconds });
  }

  function openStream({ url }: RunningProcess): Promise<OpenStream> {
    return new Promise((resolve, reject) => {
      const received = send(`${url}/v1/chat/completions`, {
        body: chat({ stream: true }),
        onData: () => {
          const socket = streams.at(-1);
          if (socket !== undefined) resolve({ received, upstream: socket });
        },
      });
      received.catch(reject);
    });
  }

  /** A kept connection that has had its answer. */
  async function connectIdle({ port }: RunningProcess): Promise<RawConnection> {
    const connection = await connectTo(port);
    connection.write(head('GET /healthz HTTP/1.1', 'Host: x'));
    assert.equal((await connection.answer()).status, 200);
    return connection;
  }

  async function startWithFleet(drainSeconds: string): Promise<RunningProcess> {
    fleet = await startTestFleet(1);
    return startProcess({ ...fleet.env, DRAIN_SECONDS: drainSeconds });
  }

  it('SIGTERM is unready at once but serves on with `connection: close` for the grace, then exits 0', async () => {
    const started = await startWithFleet('2');
    const begun = performance.now();
    started.signal('SIGTERM');
    await started.line(/^Draining after SIGTERM: 0 requests in flight$/);
    const ready = await send(`${started.url}/readyz`);
    assert.equal(ready.status, 503);
    assert.deepEqual(JSON.parse(ready.body.toString()), { status: 'not ready' });
    assert.equal((await send(`${started.url}/healthz`)).status, 200);
    const connection = await connectTo(started.port);
    const body = chat();
    const lines = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
    connection.write(head(...lines, `Content-Length: ${body.length}`) + body);
    const answer = await connection.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['connection'], 'close');
    assert.equal(await connection.rest(), '');
    const streamed = await send(`${started.url}/v1/chat/completions`, { body: chat({ stream: true }) });
    assert.equal(streamed.status, 200);
    assert.equal(streamed.headers.connection, 'close');
    assert.match(streamed.body.toString(), /data: \[DONE\]\n\n$/);
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.ok(performance.now() - begun < 4000, 'it outlasted DRAIN_SECONDS');
    assert.equal(started.lines.at(-1), 'Drained');
    assert.equal(started.errors, '');
  });

  it('SIGTERM lets a running stream finish, after new connections are refused, and exits 0', async () => {
    const started = await startWithStreams('20');
    const idle = await connectIdle(started);
    const stream = await openStream(started);
    started.signal('SIGTERM');
    await started.line(/^Draining after SIGTERM: 1 requests in flight$/);
    await idle.rest(); // Idle connections are closed when the grace is over.
    // Reset: the connection was waiting to be accepted when listening ended.
    await assert.rejects(send(`${started.url}/healthz`), /ECONNREFUSED|ECONNRESET/);
    stream.upstream.write(CHUNK + END);
    const received = await stream.received;
    assert.equal(received.status, 200);
    assert.equal(received.isComplete, true);
    assert.equal(received.body.toString(), EVENT + EVENT + LAST);
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(started.lines.at(-1), 'Drained');
    assert.equal(started.errors, '');
  });

  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    it(`${name} tells a stream that outlasts DRAIN_SECONDS in-band, breaks it and exits 0`, async () => {
      const started = await startWithStreams('1');
      const begun = performance.now();
      const stream = await openStream(started);
      started.signal(name);
      const received = await stream.received;
      assert.equal(received.status, 200);
      assert.equal(received.isComplete, false);
      assert.match(
        received.body.toString(),
        /^data: [^\n]+\n\nevent: error\ndata: \{[^\n]*"code":"stream_drained"[^\n]*\}\n\n$/,
      );
      assert.deepEqual(await started.exited, { code: 0, signal: null });
      assert.ok(performance.now() - begun < 6000, 'it outlasted DRAIN_SECONDS');
      assert.match(started.lines.join('\n'), /POST \/v1\/chat\/completions 200 (broken|abandoned)/);
      assert.equal(started.lines.at(-1), 'Drained');
      assert.equal(started.errors, '');
    });
  }

  it('SIGTERM answers a request without an answer at the end of DRAIN_SECONDS with 503 stream_drained', async () => {
    upstream = await startRawUpstream(() => undefined);
    const started = await startProcess({ BACKEND_1_URL: upstream.url, BACKEND_1_APIKEY: 'key', DRAIN_SECONDS: '1' });
    const received = send(`${started.url}/v1/chat/completions`, { body: chat() });
    await started.line(/^Proxying to /);
    started.signal('SIGTERM');
    const { status, body, headers } = await received;
    assert.equal(status, 503);
    assert.match(body.toString(), /"code":"stream_drained"/);
    assert.equal(headers.connection, 'close');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(started.errors, '');
  });

  it('SIGTERM with DRAIN_SECONDS=0 exits 0 at once', async () => {
    const started = await startWithFleet('0');
    started.signal('SIGTERM');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(started.lines.at(-1), 'Drained');
  });

  it('SIGINT ends an idle process at once with 0, kept connections or not', async () => {
    const started = await startWithFleet('20');
    const begun = performance.now();
    const connection = await connectIdle(started);
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(await connection.rest(), '');
    assert.ok(performance.now() - begun < 3000);
    assert.deepEqual(started.lines.slice(2), ['Draining after SIGINT: 0 requests in flight', 'Drained']);
    assert.equal(started.errors, '');
  });

  it('SIGINT lets a running stream finish and exits 0', async () => {
    const started = await startWithStreams('20');
    const idle = await connectIdle(started);
    const stream = await openStream(started);
    started.signal('SIGINT');
    await idle.rest();
    stream.upstream.write(END);
    const received = await stream.received;
    assert.equal(received.body.toString(), EVENT + LAST);
    assert.equal(received.isComplete, true);
    assert.deepEqual(await started.exited, { code: 0, signal: null });
  });

  it('SIGINT does not wait for a connection on which no request ever came', async () => {
    const started = await startWithFleet('6');
    const begun = performance.now();
    const connection = await connectTo(started.port);
    assert.equal((await send(`${started.url}/healthz`)).status, 200); // By now it has accepted the other one too.
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(await connection.rest(), '');
    assert.ok(
      performance.now() - begun < 4000,
      `${Math.round(performance.now() - begun)} ms, nearly all of DRAIN_SECONDS`,
    );
  });

  it('SIGINT does not wait for a kept connection whose stream has finished', async () => {
    const started = await startWithStreams('6');
    const connection = await connectTo(started.port);
    const body = chat({ stream: true });
    const lines = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
    const answered = once(connection.socket, 'data');
    connection.write(head(...lines, `Content-Length: ${body.length}`) + body);
    await answered;
    const begun = performance.now();
    started.signal('SIGINT');
    await started.line(/^Draining after SIGINT: 1 requests in flight$/);
    streams[0]?.write(END);
    const answer = await connection.answer();
    assert.deepEqual([answer.status, answer.body], [200, EVENT + LAST]);
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.ok(
      performance.now() - begun < 4000,
      `${Math.round(performance.now() - begun)} ms, nearly all of DRAIN_SECONDS`,
    );
  });

  it('a second SIGINT ends it at once, streams or not, with 130', async () => {
    const started = await startWithStreams('20');
    const stream = await openStream(started);
    started.signal('SIGINT');
    await started.line(/^Draining after SIGINT: 1 requests in flight$/);
    const begun = performance.now();
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 130, signal: null });
    assert.ok(performance.now() - begun < 3000);
    assert.equal((await stream.received).isComplete, false);
  });

  it('SIGINT after SIGTERM ends it at once too: a person does not want to wait', async () => {
    const started = await startWithStreams('20');
    const stream = await openStream(started);
    started.signal('SIGTERM');
    await started.line(/^Draining after SIGTERM: 1 requests in flight$/);
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 130, signal: null });
    assert.equal((await stream.received).isComplete, false);
  });
});
