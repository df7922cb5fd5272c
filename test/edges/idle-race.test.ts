import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Received } from '../support/http.ts';
import { behind } from '../support/held-upstream.ts';
import { answerOf, assertCall, callCounts, course, statesOf } from '../support/observed.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const PATH = '/v1/chat/completions';
const BIG = chat({ user: 'x'.repeat(2 ** 20) });
const BODIES = [chat(), chat({ stream: true }), BIG];
const WHOLE = '{"a":"b"}';
const STREAMED = 'data: 1\n\ndata: [DONE]\n\n';
const FORM = 'multipart/form-data; boundary=b';
const FILE =
  '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' +
  '--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--b--\r\n';

/** What makes something at a backend: twice sent is twice made. */
const CREATIONS: Readonly<Record<string, { readonly path: string; readonly body: string; readonly type: string }>> = {
  'a file': { path: '/v1/files', body: FILE, type: FORM },
  'a batch': { path: '/v1/batches', body: '{"input_file_id":"file-1"}', type: 'application/json' },
  'a response in the background': {
    path: '/v1/responses',
    body: JSON.stringify({ model: 'gpt-5.4-mini', input: 'Hi.', background: true }),
    type: 'application/json',
  },
};

describe('a kept connection that its backend closes as it is used again', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  function create({ path, body, type }: (typeof CREATIONS)[string], id: string): Promise<Received> {
    return send(running.url + path, { body, headers: { 'content-type': type, 'x-ms-client-request-id': id } });
  }

  for (const body of BODIES) {
    it(`costs nobody anything: reset at the first bytes of the next request (${body.length} bytes)`, async () => {
      running = await startBalancer({ backends: 2 });
      const [first] = running.resources;
      assert.ok(first !== undefined);
      await send(running.url + PATH, { body: chat() });
      for (let n = 1; n <= 20; n += 1) {
        first.clearCalls();
        first.script({ kind: 'stale' });
        const { received, finished } = await watch(running, () => send(running.url + PATH, { body }));
        assert.equal(answerOf(received), 'openai1 answers: Say hello.');
        assert.deepEqual(course(received), { backend: 'openai1', attempts: '2', trace: 'openai1=200' });
        assert.deepEqual([finished.ending, finished.reasons], ['delivered', undefined]);
        assert.deepEqual(callCounts(running), [1, 0]);
        assert.deepEqual(
          running.events.flatMap((event) => (event.kind === 'attempt-ended' ? [event.outcome.kind] : [])).slice(-2),
          ['failed', 'served'],
        );
        assertCall(first.calls[0], { path: '/openai/v1/chat/completions', body, key: 'key-1' });
        // The second try went out on a connection of its own, so the next request finds none that was kept.
        assert.equal(first.calls[0]?.headers.connection, 'close');
        await assertAtRest(running);
        await send(running.url + PATH, { body: chat() });
      }
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      assert.ok(!running.events.some(({ kind }) => kind === 'state-changed'));
    });
  }

  it('costs nobody anything when all of many go stale at once', async () => {
    running = await startBalancer({ backends: 2 });
    for (const resource of running.resources) resource.always({ kind: 'slow-first-byte', ms: 100 });
    await Promise.all(Array.from({ length: 60 }, () => send(running.url + PATH, { body: chat() })));
    for (const resource of running.resources) {
      assert.ok(resource.openSockets > 3, `only ${resource.openSockets} connections`);
      resource.always({ kind: 'stale' });
    }
    for (let round = 0; round < 3; round += 1) {
      const all = await Promise.all(
        Array.from({ length: 60 }, (_, n) => send(running.url + PATH, { body: BODIES[n % 3] ?? '' })),
      );
      for (const received of all) {
        assert.match(answerOf(received), /^openai[12] answers: Say hello\.$/);
        assert.match(String(received.headers['x-balancer-trace']), /^openai[12]=200$/);
      }
    }
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  for (const [what, creation] of Object.entries(CREATIONS)) {
    it(`is never what ${what} is sent on, so that it is made exactly once`, async () => {
      running = await startBalancer({ backends: 2 });
      const [first] = running.resources;
      await send(running.url + PATH, { body: chat() });
      assert.equal(first?.openSockets, 1);
      first.always({ kind: 'stale' });
      first.clearCalls();
      for (let n = 1; n <= 10; n += 1) {
        const received = await create(creation, `id-${n}`);
        assert.equal(received.headers['x-balancer-attempts'], '1');
        assert.equal(received.headers['x-balancer-backend'], 'openai1');
        assert.equal(first.calls.length, n);
        assert.equal(first.calls.at(-1)?.headers['x-ms-client-request-id'], `id-${n}`);
        assert.ok(first.calls.at(-1)?.body.equals(Buffer.from(creation.body)));
        await assertAtRest(running);
      }
      assert.equal(running.resources[1]?.calls.length, 0);
    });
  }
});

describe('a backend that closes its idle connections just when they are used again', () => {
  /** Turns of the event loop until the backend closes, and until the caller comes again: every order of the two. */
  const TURNS = Array.from({ length: 10 }, (_, n) => n);
  let running: RunningBalancer;
  let server: Server;
  let served: string[];
  let sockets: number;
  let cut: number;
  afterEach(async () => {
    await running.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** `idle`: closes after so many turns, as each request's tracestate says. `isHard`: with a reset. */
  async function start(isHard: boolean): Promise<void> {
    served = [];
    sockets = 0;
    cut = 0;
    const requests = new WeakMap<Socket, number>();
    server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
      const { socket } = req;
      const count = (requests.get(socket) ?? 0) + 1;
      requests.set(socket, count);
      res.on('finish', () => {
        void turns(Number(req.headers.tracestate)).then(() => {
          // It is used again already, or was not to be kept.
          if (requests.get(socket) !== count || !socket.writable) return;
          cut += 1;
          if (isHard) socket.resetAndDestroy();
          else socket.destroy();
        });
      });
      let body = '';
      req.setEncoding('latin1').on('data', (text: string) => {
        body += text;
      });
      req.on('end', () => {
        served.push(String(req.headers['x-ms-client-request-id']));
        const isStream = body.includes('"stream":true');
        res.setHeader('content-type', isStream ? 'text/event-stream' : 'application/json');
        res.end(isStream ? STREAMED : WHOLE);
      });
    });
    server.on('connection', () => {
      sockets += 1;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    running = await startBalancer({ backends: 0, settings: behind(`http://127.0.0.1:${address.port}`) });
  }

  for (const isHard of [false, true]) {
    it(`shows none of it to hundreds of requests, plain, streamed and large (${isHard ? 'RST' : 'FIN'})`, async () => {
      await start(isHard);
      let sent = 0;
      let crossed = 0;
      for (const body of BODIES) {
        for (const idle of TURNS) {
          for (const later of TURNS) {
            const headers = { 'x-ms-client-request-id': `id-${sent}`, tracestate: String(idle) };
            const received = await send(running.url + PATH, { body, headers });
            assert.deepEqual([received.status, received.isComplete], [200, true]);
            assert.equal(received.body.toString(), body.includes('"stream":true') ? STREAMED : WHOLE);
            assert.equal(received.headers['x-balancer-trace'], 'openai1=200');
            if (received.headers['x-balancer-attempts'] === '2') crossed += 1;
            assert.equal(served.at(-1), `id-${sent}`);
            sent += 1;
            await turns(later);
          }
        }
      }
      assert.ok(cut > 50 && sockets > 50, `${cut} of ${sockets} connections were cut`);
      assert.ok(crossed > 0, 'no request ever met the end of its connection on its way');
      assert.deepEqual(statesOf(running), ['closed/closed']);
      assert.ok(!running.events.some(({ kind }) => kind === 'state-changed'));
      await assertAtRest(running);
    });

    it(`gets each creation exactly once (${isHard ? 'RST' : 'FIN'})`, async () => {
      await start(isHard);
      const ids: string[] = [];
      for (const idle of TURNS) {
        for (const later of TURNS) {
          for (const { path, body, type } of Object.values(CREATIONS)) {
            const between = { 'x-ms-client-request-id': 'between', tracestate: String(idle) };
            await send(running.url + PATH, { body: chat(), headers: between });
            await turns(later);
            const id = `id-${ids.length}`;
            ids.push(id);
            const headers = { 'content-type': type, 'x-ms-client-request-id': id, tracestate: '0' };
            const received = await send(running.url + path, { body, headers });
            assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
          }
        }
      }
      assert.deepEqual(
        served.filter((id) => id !== 'between'),
        ids,
      );
      await assertAtRest(running);
    });
  }
});

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await setImmediate();
}
