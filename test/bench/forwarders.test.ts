import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import {
  createForwarder,
  targetOf,
  type Answer,
  type Attempt,
  type CreateForwarder,
  type Forwarded,
  type Forwarder,
} from '../../app/src/proxy/forward.ts';
import { createForwarder as createNodeHttpForwarder } from '../../bench/alternatives/forward-node-http.ts';
import { createForwarder as createUndiciForwarder } from '../../bench/alternatives/forward-undici.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

const FORWARDERS: Readonly<Record<string, CreateForwarder>> = {
  'http-proxy-middleware': createForwarder,
  'node-http': createNodeHttpForwarder,
  undici: createUndiciForwarder,
};

for (const [name, create] of Object.entries(FORWARDERS)) {
  describe(`an attempt with ${name}`, () => {
    let forwarder: Forwarder;
    let upstream: RawUpstream;
    /** What the backend does with each request, in turn; the last for all that follow. */
    let answering: ((socket: Socket) => void)[];

    beforeEach(async () => {
      forwarder = create({ connectTimeoutMs: 5000, headerTimeoutMs: 5000 });
      upstream = await startRawUpstream((socket) => {
        const next = answering.length > 1 ? answering.shift() : answering[0];
        next?.(socket);
      });
    });

    afterEach(async () => {
      forwarder.close();
      await upstream.close();
    });

    function attempt(changes: Partial<Attempt> = {}): Attempt {
      return {
        target: targetOf(upstream.url),
        method: 'POST',
        path: '/openai/v1/chat/completions?a=b',
        headers: { host: upstream.host, 'content-type': 'application/json', 'content-length': '2' },
        body: Buffer.from('{}'),
        fresh: false,
        ...changes,
      };
    }

    function send(changes: Partial<Attempt> = {}): Promise<Forwarded> {
      return forwarder.forward(attempt(changes), new AbortController().signal);
    }

    it('sends method, path, headers and body, and gives status, raw headers and body', async () => {
      answering = [(socket) => socket.write(rawAnswer('201 Created', ['X-Note: one', 'x-note: two'], 'hello'))];
      const answer = answerOf(await send());
      assert.equal(answer.status, 201);
      assert.deepEqual(answer.rawHeaders, ['X-Note', 'one', 'x-note', 'two', 'content-length', '5']);
      assert.equal(answer.header('x-note'), 'one');
      assert.equal(answer.header('x-other'), undefined);
      assert.equal(await textOf(answer), 'hello');
      assert.equal(answer.body.complete, true);
      const [request = ''] = upstream.requests;
      assert.match(request, /^POST \/openai\/v1\/chat\/completions\?a=b HTTP\/1\.1\r\n/);
      assert.match(request, /\r\n\r\n\{\}$/);
    });

    it('goes out on a kept connection, or on one of its own when that is asked for', async () => {
      answering = [(socket) => socket.write(rawAnswer('200 OK', [], 'hello'))];
      await textOf(answerOf(await send()));
      await textOf(answerOf(await send()));
      assert.equal(upstream.connections, 1);
      await textOf(answerOf(await send({ fresh: true })));
      assert.equal(upstream.connections, 2);
      assert.match(upstream.requests[2] ?? '', /\r\nconnection: close\r\n/i);
    });

    it('tells a connection that cannot be made', async () => {
      const target = targetOf(upstream.url);
      await upstream.close();
      assert.equal(causeOf(await send({ target })), 'connect');
      upstream = await startRawUpstream(() => undefined);
    });

    it('tells a reset of a new connection from one of a connection that was used before', async () => {
      answering = [(socket) => socket.resetAndDestroy()];
      assert.equal(causeOf(await send()), 'reset');
      answering = [(socket) => socket.write(rawAnswer('200 OK', [], 'hello')), (socket) => socket.resetAndDestroy()];
      await textOf(answerOf(await send()));
      assert.equal(causeOf(await send()), 'stale-socket');
      assert.equal(causeOf(await send({ fresh: true })), 'reset');
    });

    it('tells a backend that accepts and says nothing, and ends the connection', async () => {
      forwarder.close();
      forwarder = create({ connectTimeoutMs: 5000, headerTimeoutMs: 50 });
      const closed = Promise.withResolvers<unknown>();
      answering = [(socket) => closed.resolve(once(socket, 'close'))];
      assert.equal(causeOf(await send()), 'header-timeout');
      await closed.promise;
    });

    it('is abandoned when the caller leaves, and ends the connection', async () => {
      const caller = new AbortController();
      const asked = Promise.withResolvers<Socket>();
      answering = [(socket) => asked.resolve(socket)];
      const forwarded = forwarder.forward(attempt(), caller.signal);
      const socket = await asked.promise;
      const closed = once(socket, 'close');
      caller.abort();
      assert.deepEqual(await forwarded, { kind: 'failed', outcome: { kind: 'abandoned' } });
      await closed;
      assert.deepEqual(await forwarder.forward(attempt(), caller.signal), await forwarded);
      assert.equal(upstream.requests.length, 1);
    });

    it('lets a body that was cut close without an end, and keeps no connection', async () => {
      answering = [(socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello')];
      const { body } = answerOf(await send());
      let hasEnded = false;
      body.on('end', () => {
        hasEnded = true;
      });
      body.on('error', () => undefined);
      const closed = new Promise((resolve) => body.on('close', resolve));
      body.resume();
      await closed;
      assert.deepEqual([hasEnded, body.complete], [false, false]);
      answering = [(socket) => socket.write(rawAnswer('200 OK', [], 'hello'))];
      assert.equal(await textOf(answerOf(await send())), 'hello');
    });

    it('has no answer with a status that HTTP does not know', async () => {
      answering = [(socket) => socket.write(rawAnswer('999 Odd', [], 'hello'))];
      assert.equal(causeOf(await send()), 'reset');
    });

    it('rejects what cannot be sent at all: that is nobody else’s fault', async () => {
      await assert.rejects(send({ path: '/with a space' }));
    });
  });
}

function answerOf(forwarded: Forwarded): Answer {
  assert.ok(forwarded.kind === 'answer', 'there is no answer');
  return forwarded.answer;
}

function causeOf(forwarded: Forwarded): string {
  assert.ok(forwarded.kind === 'failed' && forwarded.outcome.kind === 'failed');
  return forwarded.outcome.cause ?? '';
}

async function textOf({ body }: Answer): Promise<string> {
  const pieces: Buffer[] = [];
  body.on('data', (piece: Buffer) => pieces.push(piece));
  await once(body, 'end');
  return Buffer.concat(pieces).toString();
}
