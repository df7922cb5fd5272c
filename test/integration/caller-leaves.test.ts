// The caller goes away: the upstream request is cancelled, and no backend is blamed for it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Fault } from '../../simulator/scenario.ts';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { answerChat, behind, startHeldUpstream, type HeldUpstream } from '../support/held-upstream.ts';
import { chat, send } from '../support/http.ts';
import { callCounts, course, eventsIn, hasNoOpenRequests, statesOf } from '../support/observed.ts';
import { open } from '../support/reading.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';
const UNBLAMED = ['closed/closed', 'closed/closed', 'closed/closed'];

describe('a caller who leaves', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer({ handlerLimits: { errorBodyMs: 600_000 } });
  });
  afterEach(() => running.close());

  async function assertForgotten(calls: readonly number[]): Promise<void> {
    await until(() => hasNoOpenRequests(running));
    assert.deepEqual(callCounts(running), calls);
    assert.deepEqual(statesOf(running), UNBLAMED);
    running.assertIdle();
    const received = await send(running.url + PATH, { body: chat() });
    assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
  }

  const waits: readonly { readonly when: string; readonly fault: Fault; readonly body: string }[] = [
    { when: 'before the headers', fault: { kind: 'hang' }, body: chat() },
    { when: 'before the headers of a stream', fault: { kind: 'hang' }, body: chat({ stream: true }) },
    {
      when: 'before the first byte of a stream',
      fault: { kind: 'stall', afterChunks: 0 },
      body: chat({ stream: true }),
    },
    { when: 'while JSON is read', fault: { kind: 'stall', afterChunks: 3 }, body: chat() },
    { when: 'while an error is read', fault: { kind: 'status', status: 503, stallBody: true }, body: chat() },
    { when: 'while a refusal is read', fault: { kind: 'status', status: 400, stallBody: true }, body: chat() },
  ];
  for (const { when, fault, body } of waits) {
    it(`cancels the upstream request: ${when}`, async () => {
      const [first] = running.resources;
      first?.script(fault);
      const called = first?.onceCalled();
      const finished = running.event('request-finished');
      const leaving = new AbortController();
      const left = send(running.url + PATH, { body, signal: leaving.signal });
      await called;
      await until(() => first?.openRequests === 1);
      leaving.abort();
      await assert.rejects(left, { name: 'AbortError' });
      const { ending, status, attempts } = await finished;
      assert.deepEqual({ ending, status, attempts }, { ending: 'abandoned', status: 499, attempts: 1 });
      await assertForgotten([1, 0, 0]);
    });
  }

  for (const shape of ['a stream', 'a large JSON answer'] as const) {
    it(`cancels the upstream request: in the middle of ${shape}`, async () => {
      const [first] = running.resources;
      const isStream = shape === 'a stream';
      first?.script(isStream ? { kind: 'stall', afterChunks: 4 } : { kind: 'large', bytes: 32 * 2 ** 20 });
      const finished = running.event('request-finished');
      const reading = await open(running.url + PATH, { body: chat(isStream ? { stream: true } : {}) });
      assert.equal(reading.status, 200);
      if (isStream) await reading.came((text) => eventsIn(text).length === 4);
      else reading.pause();
      reading.leave();
      const { ending, status, backend } = await finished;
      assert.deepEqual({ ending, status, backend }, { ending: 'abandoned', status: 200, backend: 'openai1' });
      await assertForgotten([1, 0, 0]);
    });
  }

  // The openai package from PyPI closes its connection at `[DONE]`, without a look at the end of the HTTP body.
  for (const lineEnd of ['LF', 'CRLF'] as const) {
    it(`is told of as delivered when it leaves after the last event of a stream (${lineEnd})`, async () => {
      let upstream: HeldUpstream | undefined;
      let alone: RunningBalancer | undefined;
      try {
        upstream = await startHeldUpstream();
        alone = await startBalancer({ backends: 0, settings: behind(upstream.url) });
        const finished = alone.event('request-finished');
        const opening = open(alone.url + PATH, { body: chat({ stream: true }) });
        const held = await upstream.next();
        const events = 'data: {"choices":[]}\n\ndata: [DONE]\n\n';
        held.res.writeHead(200, { 'content-type': 'text/event-stream' });
        held.res.write(lineEnd === 'LF' ? events : events.replaceAll('\n', '\r\n'));
        const reading = await opening;
        await reading.came((text) => text.trimEnd().endsWith('data: [DONE]'));
        reading.leave();
        const { ending, status } = await finished;
        assert.deepEqual({ ending, status }, { ending: 'delivered', status: 200 });
        await until(() => held.res.closed);
        alone.assertIdle();
      } finally {
        await alone?.close();
        await upstream?.close();
      }
    });
  }

  it('is told of as having left when events came after [DONE], which was not the last then', async () => {
    const upstream = await startHeldUpstream();
    const alone = await startBalancer({ backends: 0, settings: behind(upstream.url) });
    try {
      const finished = alone.event('request-finished');
      const opening = open(alone.url + PATH, { body: chat({ stream: true }) });
      const held = await upstream.next();
      held.res.writeHead(200, { 'content-type': 'text/event-stream' });
      held.res.write('data: [DONE]\n\n');
      const reading = await opening;
      await reading.came((text) => text.endsWith('data: [DONE]\n\n'));
      held.res.write('data: more\n\n');
      await reading.came((text) => text.endsWith('data: more\n\n'));
      reading.leave();
      assert.equal((await finished).ending, 'abandoned');
      await until(() => held.res.closed);
      alone.assertIdle();
    } finally {
      await alone.close();
      await upstream.close();
    }
  });

  it('cancels the second attempt and leaves the first one’s blame as it is', async () => {
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
    running.resources[1]?.script({ kind: 'hang' });
    const called = running.resources[1]?.onceCalled();
    const finished = running.event('request-finished');
    const leaving = new AbortController();
    const left = send(running.url + PATH, { body: chat(), signal: leaving.signal });
    await called;
    leaving.abort();
    await assert.rejects(left, { name: 'AbortError' });
    assert.equal((await finished).trace, 'openai1=429(60000ms)');
    await until(() => hasNoOpenRequests(running));
    assert.deepEqual(callCounts(running), [1, 1, 0]);
    assert.deepEqual(statesOf(running), ['closed/cooldown', 'closed/closed', 'closed/closed']);
    running.assertIdle();
  });

  it('in the middle of an upload asks no backend and leaves no byte held', async () => {
    const req = http.request(running.url + PATH, {
      method: 'POST',
      agent: false,
      headers: { 'api-key': CLIENT_KEY, 'content-type': 'application/json', 'content-length': '1000000' },
    });
    req.on('error', () => undefined);
    req.write(Buffer.alloc(300_000, 'x'));
    await until(() => running.balancer.admission.bodies.taken === 300_000);
    req.destroy();
    await until(() => running.balancer.admission.inFlight === 0);
    await assertForgotten([0, 0, 0]);
  });

  it('during a probe leaves the probing to the next request', async () => {
    let now = 1000;
    const clocked = await startBalancer({ clock: () => now });
    try {
      const [first] = clocked.resources;
      first?.script({ kind: 'throttle', retryAfterMs: 5000 });
      await send(clocked.url + PATH, { body: chat() });
      now += 5000;
      first?.script({ kind: 'hang' });
      const called = first?.onceCalled();
      const leaving = new AbortController();
      const finished = clocked.event('request-finished');
      const left = send(clocked.url + PATH, { body: chat(), signal: leaving.signal });
      await called;
      assert.equal(statesOf(clocked)[0], 'closed/returning');
      leaving.abort();
      await assert.rejects(left, { name: 'AbortError' });
      await finished;
      now += 250;
      const received = await send(clocked.url + PATH, { body: chat() });
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
      assert.equal(statesOf(clocked)[0], 'closed/returning');
      clocked.assertIdle();
    } finally {
      await clocked.close();
    }
  });

  describe('with requests sent ahead on one connection', () => {
    let upstream: HeldUpstream;
    let alone: RunningBalancer;
    let socket: Socket;
    let received: string;
    beforeEach(async () => {
      upstream = await startHeldUpstream();
      alone = await startBalancer({ backends: 0, settings: behind(upstream.url) });
      received = '';
      socket = connect(alone.port, '127.0.0.1');
      socket.setEncoding('utf8').on('data', (text: string) => {
        received += text;
      });
      await once(socket, 'connect');
    });
    afterEach(async () => {
      socket.destroy();
      await alone.close();
      await upstream.close();
    });

    function request(n: number): string {
      const body = chat({ n });
      return `POST ${PATH} HTTP/1.1\r\nhost: x\r\napi-key: ${CLIENT_KEY}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    }

    it('has the one in progress cancelled, and the others never sent', async () => {
      socket.write(request(1) + request(2) + request(3));
      await until(() => upstream.held.length === 1);
      socket.destroy();
      await until(() => upstream.held.length === 0 && alone.balancer.admission.inFlight === 0);
      // A round trip over another connection: whatever was to be sent upstream has been by now.
      const other = send(alone.url + PATH, { body: chat({ n: 4 }) });
      await until(() => upstream.requests.some(({ body }) => body.includes('"n":4')));
      const last = upstream.requests.at(-1);
      assert.ok(last !== undefined);
      answerChat(last);
      assert.equal((await other).status, 200);
      assert.deepEqual(
        upstream.requests.map(({ body }) => /"n":(\d)/.exec(body.toString())?.[1]),
        ['1', '4'],
      );
      assert.deepEqual(statesOf(alone), ['closed/closed']);
      alone.assertIdle();
    });

    it('gets the answers in order', async () => {
      socket.write(request(1) + request(2) + request(3));
      for (const n of [1, 2, 3]) {
        const held = await upstream.next();
        assert.match(held.body.toString(), new RegExp(`"n":${n}`));
        answerChat(held, `number ${n}`);
      }
      await until(() => received.includes('number 3'));
      assert.deepEqual(received.match(/number \d/g), ['number 1', 'number 2', 'number 3']);
      await until(() => alone.balancer.admission.inFlight === 0);
      alone.assertIdle();
    });

    it('gets each answer although the one before it was a refusal', async () => {
      const wrong = request(2).replace(CLIENT_KEY, 'wrong');
      socket.write(request(1) + wrong);
      answerChat(await upstream.next(), 'number 1');
      await until(() => received.includes('unknown_credential'));
      assert.match(received, /^HTTP\/1\.1 200 [^]*number 1[^]*HTTP\/1\.1 401 /);
      await until(() => alone.balancer.admission.inFlight === 0);
      alone.assertIdle();
    });
  });
});
