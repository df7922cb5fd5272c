// From rest back to work: who is asked when, what callers are told meanwhile, and how a full house empties again.

import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import {
  answerChat,
  behind,
  startHeldUpstream,
  type HeldRequest,
  type HeldUpstream,
} from '../support/held-upstream.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { manualClock, type ManualClock } from '../support/manual-clock.ts';
import { callCounts, course, hasNoOpenRequests, statesOf } from '../support/observed.ts';
import { bringUp, takeDown } from '../support/outage.ts';
import { codeOf, connectTo, head } from '../support/raw.ts';
import { open } from '../support/reading.ts';
import { until } from '../support/until.ts';
import { watch } from '../support/watched.ts';

const PATH = '/v1/chat/completions';

describe('recovery', () => {
  let clock: ManualClock;
  let running: RunningBalancer;
  let upstreams: readonly HeldUpstream[];

  /** A balancer in front of backends that answer when the test says so. */
  async function startHeld(count: number, setup: BalancerSetup = {}): Promise<void> {
    clock = manualClock(1000);
    upstreams = await Promise.all(Array.from({ length: count }, () => startHeldUpstream()));
    const settings = { ...behind(...upstreams.map(({ url }) => url)), ...setup.settings };
    running = await startBalancer({ clock: clock.now, ...setup, backends: 0, settings });
  }

  async function startSimulated(setup: BalancerSetup = {}): Promise<void> {
    clock = manualClock(1000);
    upstreams = [];
    running = await startBalancer({ clock: clock.now, ...setup });
  }

  afterEach(async () => {
    await running.close();
    await Promise.all(upstreams.map((upstream) => upstream.close()));
  });

  const ask = (body: string | Buffer = chat()): Promise<Received> => send(running.url + PATH, { body });

  const heldAt = (index: number): readonly HeldRequest[] => upstreams[index]?.held ?? [];
  const heldCounts = (): readonly number[] => upstreams.map(({ held }) => held.length);

  /** So many requests at once; resolves when the backends hold all of them. */
  async function askMany(count: number): Promise<readonly Promise<Received>[]> {
    const asked = Array.from({ length: count }, () => ask());
    await until(() => heldCounts().reduce((sum, held) => sum + held, 0) === count);
    return asked;
  }

  async function answerAll(asked: readonly Promise<Received>[]): Promise<void> {
    for (const { held } of upstreams) for (const request of held) answerChat(request);
    for (const received of await Promise.all(asked)) assert.equal(received.status, 200);
  }

  function refuse(request: HeldRequest | undefined, status: number, headers: Readonly<Record<string, string>>): void {
    assert.ok(request !== undefined);
    request.res.writeHead(status, headers).end();
  }

  function throttle(request: HeldRequest | undefined, headers: Readonly<Record<string, string>>): void {
    refuse(request, 429, headers);
  }

  /** The first backend refuses a request; the second answers it. */
  async function restFirst(status: number, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    const asked = ask();
    await until(() => heldAt(0).length === 1);
    refuse(heldAt(0)[0], status, headers);
    await until(() => heldAt(1).length === 1);
    await answerAll([asked]);
  }

  /** The first backend is throttled for 5 s. */
  async function throttleFirst(): Promise<void> {
    await restFirst(429, { 'retry-after-ms': '5000' });
    assert.deepEqual(statesOf(running), ['closed/cooldown', 'closed/closed']);
  }

  for (const [rest, restMs, goOut, first, then] of [
    ['a cooldown', 5000, throttleFirst, 'closed/returning', 'closed/returning'],
    ['a failure', 1000, () => restFirst(503), 'closed/probing', 'closed/recovering'],
  ] as const) {
    it(`from ${rest} begins with one probe, and goes on with a growing number`, async () => {
      await startHeld(2);
      await goOut();

      clock.advance(restMs - 1);
      let asked = await askMany(5);
      assert.deepEqual(heldCounts(), [0, 5]);
      await answerAll(asked);

      clock.advance(1);
      asked = await askMany(10);
      assert.deepEqual(heldCounts(), [1, 9]);
      assert.equal(statesOf(running)[0], first);
      const probes = running.events.filter((event) => event.kind === 'attempt-started' && event.probe);
      assert.equal(probes.length, 1);
      await answerAll(asked);
      assert.equal(statesOf(running)[0], then);

      // At most 2, then one more with every answer, until it bears an equal share.
      for (const [count, expected] of [
        [20, 2],
        [20, 4],
        [40, 8],
      ] as const) {
        asked = await askMany(count);
        assert.deepEqual(heldCounts(), [expected, count - expected]);
        await answerAll(asked);
      }
      assert.equal(statesOf(running)[0], 'closed/closed');
      asked = await askMany(40);
      assert.deepEqual(heldCounts(), [20, 20]);
      await answerAll(asked);
      running.assertIdle();
    });
  }

  it('is over after 10 s, however few the answers were', async () => {
    await startHeld(2);
    await throttleFirst();
    clock.advance(5000);
    await answerAll(await askMany(1));
    assert.equal(statesOf(running)[0], 'closed/returning');
    clock.advance(10_000);
    const asked = await askMany(20);
    assert.deepEqual(heldCounts(), [10, 10]);
    await answerAll(asked);
    assert.equal(statesOf(running)[0], 'closed/closed');
    running.assertIdle();
  });

  it('asks on when the first is not refused for twice the time that the last refusal took, however slow its answer', async () => {
    await startHeld(2);
    await throttleFirst();
    clock.advance(5000);
    const asked = [...(await askMany(4))];
    assert.deepEqual(heldCounts(), [1, 3]);
    clock.advance(19);
    asked.push(ask());
    await until(() => heldAt(1).length === 4);
    clock.advance(1);
    asked.push(ask(), ask());
    await until(() => heldAt(0).length === 3);
    asked.push(ask());
    await until(() => heldAt(1).length === 5);
    await answerAll(asked);
    running.assertIdle();
  });

  it('goes back to rest when the probe is throttled, and the caller is served elsewhere', async () => {
    await startHeld(2);
    await throttleFirst();
    clock.advance(5000);
    const asked = ask();
    await until(() => heldAt(0).length === 1);
    throttle(heldAt(0)[0], { 'retry-after-ms': '700' });
    await until(() => heldAt(1).length === 1);
    await answerAll([asked]);
    assert.equal(course(await asked).trace, 'openai1=429(700ms) openai2=200');
    assert.equal(statesOf(running)[0], 'closed/cooldown');
    clock.advance(699);
    await answerAll(await askMany(1));
    assert.equal(statesOf(running)[0], 'closed/cooldown');
    clock.advance(1);
    const next = await askMany(1);
    assert.deepEqual(heldCounts(), [1, 0]);
    await answerAll(next);
    running.assertIdle();
  });

  it('doubles a wait that the backend does not name once for fifty simultaneous 429s', async () => {
    await startHeld(1);
    for (const [round, waitMs] of [1000, 2000, 4000].entries()) {
      const asked = await askMany(round === 0 ? 50 : 1);
      for (const request of heldAt(0)) throttle(request, {});
      for (const received of await Promise.all(asked)) {
        assert.equal(received.status, 429);
        assert.equal(received.headers['retry-after-ms'], String(waitMs));
        assert.equal(received.headers['retry-after'], String(waitMs / 1000));
      }
      clock.advance(waitMs - 1);
      const early = await ask();
      assert.equal(early.headers['retry-after-ms'], '1');
      assert.equal(early.headers['retry-after'], '1');
      assert.equal(early.headers['x-balancer-attempts'], '0');
      clock.advance(1);
    }
    running.assertIdle();
  });

  it('of one deployment leaves the others of that backend alone', async () => {
    await startSimulated();
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
    await ask();
    const body = JSON.stringify({ model: 'text-embedding-3-large', input: 'x' });
    const received = await send(`${running.url}/v1/embeddings`, { body });
    assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
    running.assertIdle();
  });

  const rests = [
    { from: 'an open circuit breaker', fault: { kind: 'status', status: 503 }, ms: 1000, state: 'closed/recovering' },
    { from: 'a quarantine', fault: { kind: 'unauthorized' }, ms: 60_000, state: 'closed/closed' },
    { from: 'a missing deployment', fault: { kind: 'missing-deployment' }, ms: 300_000, state: 'closed/closed' },
  ] as const;
  for (const { from, fault, ms, state } of rests) {
    it(`from ${from} is tried after ${ms} ms, and not before`, async () => {
      await startSimulated();
      running.resources[0]?.script(fault);
      await ask();
      clock.advance(ms - 1);
      assert.equal(course(await ask()).trace, 'openai2=200');
      clock.advance(1);
      assert.equal(course(await ask()).trace, 'openai1=200');
      assert.equal(statesOf(running)[0], state);
      assert.deepEqual(callCounts(running), [2, 2, 0]);
      running.assertIdle();
    });
  }

  it('from a refused connection goes to a backend that listens again', async () => {
    await startSimulated();
    await takeDown(running.resources[0]);
    assert.equal(course(await ask()).trace, 'openai1=connect openai2=200');
    clock.advance(1000);
    // Still down: it rests twice as long.
    assert.equal(course(await ask()).trace, 'openai1=connect openai2=200');
    clock.advance(1999);
    assert.equal(course(await ask()).trace, 'openai2=200');
    await bringUp(running.resources[0]);
    clock.advance(1);
    assert.equal(course(await ask()).trace, 'openai1=200');
    assert.deepEqual(statesOf(running), ['recovering/closed', 'closed/closed', 'closed/closed']);
    running.assertIdle();
  });

  describe('the honest 429', () => {
    it('names the earliest recovery, and asks no backend while all cool down', async () => {
      await startSimulated();
      for (const [index, ms] of [30_000, 10_500, 20_000].entries()) {
        running.resources[index]?.script({ kind: 'throttle', retryAfterMs: ms });
      }
      const first = await ask();
      assert.equal(first.status, 429);
      assert.equal(errorOf(first).code, 'all_backends_throttled');
      assert.equal(first.headers['retry-after-ms'], '10500');
      assert.equal(first.headers['retry-after'], '11');
      assert.equal(first.headers['x-should-retry'], undefined);
      assert.equal(first.headers['x-balancer-attempts'], '3');
      clock.advance(4000);
      const second = await ask();
      assert.equal(second.status, 429);
      assert.equal(second.headers['retry-after-ms'], '6500');
      assert.equal(second.headers['retry-after'], '7');
      assert.equal(second.headers['x-balancer-attempts'], '0');
      assert.equal(second.headers['x-balancer-trace'], undefined);
      assert.equal(second.headers['x-balancer-backend'], undefined);
      assert.deepEqual(callCounts(running), [1, 1, 1]);
      clock.advance(6500);
      const third = await ask();
      assert.deepEqual(course(third), { backend: 'openai2', attempts: '1', trace: 'openai2=200' });
      running.assertIdle();
    });

    it('is spread over up to a tenth more, never less', async () => {
      await startSimulated({ random: () => 0.999_999 });
      for (const resource of running.resources) resource.script({ kind: 'throttle', retryAfterMs: 10_000 });
      const received = await ask();
      assert.equal(received.headers['retry-after-ms'], '11000');
      assert.equal(received.headers['retry-after'], '11');
      running.assertIdle();
    });

    it('forbids the retry of what recovers beyond 60 s, while probes still go out every minute', async () => {
      await startSimulated();
      for (const resource of running.resources) resource.throttle(86_400_000);
      for (const resource of running.resources) resource.always({ kind: 'throttle', retryAfterMs: 86_400_000 });
      const first = await ask();
      assert.equal(first.headers['retry-after-ms'], '86400000');
      assert.equal(first.headers['retry-after'], '86400');
      assert.equal(first.headers['x-should-retry'], 'false');
      clock.advance(59_999);
      const early = await ask();
      assert.equal(early.headers['x-balancer-attempts'], '0');
      assert.equal(early.headers['retry-after-ms'], String(86_400_000 - 59_999));
      clock.advance(1);
      const late = await ask();
      assert.equal(late.status, 429);
      assert.equal(late.headers['x-balancer-attempts'], '3');
      assert.deepEqual(callCounts(running), [2, 2, 2]);
      clock.advance(60_000);
      for (const resource of running.resources) resource.clearFaults();
      assert.equal((await ask()).status, 200);
      running.assertIdle();
    });

    it('does not forbid it at 60 s exactly', async () => {
      await startSimulated();
      for (const resource of running.resources) resource.always({ kind: 'throttle', retryAfterMs: 60_000 });
      const received = await ask();
      assert.equal(received.headers['retry-after-ms'], '60000');
      assert.equal(received.headers['x-should-retry'], undefined);
      running.assertIdle();
    });

    it('still comes when the others are failing: only waiting helps', async () => {
      await startSimulated();
      running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 20_000 });
      running.resources[1]?.always({ kind: 'status', status: 503 });
      running.resources[2]?.always({ kind: 'unauthorized' });
      const received = await ask();
      assert.equal(received.status, 429);
      assert.equal(received.headers['retry-after-ms'], '20000');
      assert.equal(course(received).trace, 'openai1=429(20000ms) openai2=503 openai3=401');
      running.assertIdle();
    });
  });

  describe('a balancer that is behind its work', () => {
    it('sheds newcomers with 503 and Retry-After, gives back what they took, and serves those who are in', async () => {
      let isBehind = false;
      await startHeld(1, { settings: { CLIENT_LIMITS: 'tester=2concurrent' }, isBehind: () => isBehind });
      const asked = await askMany(1);
      isBehind = true;
      for (let n = 0; n < 3; n += 1) {
        const { received, finished } = await watch(running, () => ask());
        assert.deepEqual([received.status, errorOf(received).code], [503, 'too_many_requests_at_once']);
        assert.equal(received.headers['retry-after'], '1');
        assert.deepEqual(
          [finished.code, finished.client, finished.attempts],
          ['too_many_requests_at_once', 'tester', 0],
        );
      }
      assert.equal((await send(`${running.url}/healthz`)).status, 200);
      assert.equal(upstreams[0]?.requests.length, 1);
      await answerAll(asked);
      running.assertIdle();
      isBehind = false;
      await answerAll(await askMany(1));
    });
  });

  describe('a turn of the event loop that meets forty requests', () => {
    /** All of them are there before the balancer looks; each look at its clock is so many ms after the one before. */
    async function codesOfForty(msBetweenLooks: number): Promise<readonly string[]> {
      upstreams = [];
      let now = 1000;
      running = await startBalancer({ backends: 1, clock: () => (now += msBetweenLooks) });
      const connections = await Promise.all(Array.from({ length: 40 }, () => connectTo(running.port)));
      // A connection is let in at a turn of its own: all of them are first heard.
      for (const connection of connections) connection.write(head('GET /healthz HTTP/1.1', 'Host: x'));
      await Promise.all(connections.map((connection) => connection.answer()));
      const lines = ['Host: x', `api-key: ${CLIENT_KEY}`, `Content-Length: ${chat().length}`];
      for (const connection of connections) connection.write(head(`POST ${PATH} HTTP/1.1`, ...lines) + chat());
      const answers = await Promise.all(connections.map((connection) => connection.answer()));
      for (const { socket } of connections) socket.destroy();
      return answers.map((answer) => (answer.status === 200 ? '200' : codeOf(answer)));
    }

    it('sheds those that it meets late', async () => {
      const codes = await codesOfForty(60);
      assert.deepEqual(new Set(codes), new Set(['200', 'too_many_requests_at_once']));
    });

    it('sheds nobody when it is short', async () => {
      assert.deepEqual(new Set(await codesOfForty(0)), new Set(['200']));
    });
  });

  describe('a full house', () => {
    it('sheds what is beyond MAX_CONCURRENT_REQUESTS with 503 and Retry-After, and recovers', async () => {
      await startHeld(2, { settings: { MAX_CONCURRENT_REQUESTS: '4' } });
      const asked = await askMany(4);
      for (let n = 0; n < 3; n += 1) {
        const received = await ask();
        assert.equal(received.status, 503);
        assert.equal(errorOf(received).code, 'too_many_requests_in_flight');
        assert.equal(received.headers['retry-after'], '1');
        assert.equal(received.isComplete, true);
      }
      assert.deepEqual(
        upstreams.map(({ requests }) => requests.length),
        [2, 2],
      );
      assert.equal((await send(`${running.url}/healthz`)).status, 200);
      await answerAll(asked);
      await answerAll(await askMany(4));
      running.assertIdle();
    });

    it('keeps the connection of whoever it turns away, or those who come back would need a new one each time', async () => {
      await startHeld(1, { settings: { MAX_CONCURRENT_REQUESTS: '1' } });
      const asked = await askMany(1);
      const connection = await connectTo(running.port);
      const body = chat();
      const request = (length: number, ...lines: string[]): string =>
        head(`POST ${PATH} HTTP/1.1`, 'Host: x', `api-key: ${CLIENT_KEY}`, ...lines, `Content-Length: ${length}`);
      for (let n = 0; n < 3; n += 1) {
        connection.write(request(body.length) + body);
        const answer = await connection.answer();
        assert.deepEqual([answer.status, answer.headers['connection']], [503, 'keep-alive']);
      }
      await answerAll(asked);
      connection.write(request(body.length) + body);
      await until(() => heldAt(0).length === 1);
      await answerAll([]);
      assert.equal((await connection.answer()).status, 200);
      // A body that is long, or that waits to be called for, is not read over.
      const again = await askMany(1);
      for (const unread of [request(100_000), request(body.length, 'Expect: 100-continue')]) {
        const other = await connectTo(running.port);
        other.write(unread);
        const answer = await other.answer();
        assert.deepEqual([answer.status, answer.headers['connection']], [503, 'close']);
        other.socket.end();
      }
      connection.socket.end();
      await answerAll(again);
      running.assertIdle();
    });

    it('takes the place of a caller who left', async () => {
      await startHeld(1, { settings: { MAX_CONCURRENT_REQUESTS: '1' } });
      const leaving = new AbortController();
      const left = send(running.url + PATH, { body: chat(), signal: leaving.signal });
      await until(() => heldAt(0).length === 1);
      leaving.abort();
      await assert.rejects(left);
      await until(() => running.balancer.admission.inFlight === 0 && heldAt(0).length === 0);
      await answerAll(await askMany(1));
      running.assertIdle();
    });

    it('sheds bodies beyond MAX_BUFFERED_BYTES with 503 and Retry-After, and recovers', async () => {
      await startHeld(1, { settings: { MAX_BUFFERED_BYTES: '1000000' } });
      const large = chat({ stream: true, x: 'y'.repeat(600_000) });
      const opened = open(running.url + PATH, { body: large });
      const { res } = (await upstreams[0]?.next()) ?? assert.fail();
      assert.equal(running.balancer.admission.bodies.taken, large.length);
      for (const sent of [{ body: large }, { method: 'POST', pieces: [large] }]) {
        const received = await send(running.url + PATH, sent);
        assert.equal(received.status, 503);
        assert.equal(errorOf(received).code, 'too_many_bytes_buffered');
        assert.equal(received.headers['retry-after'], '1');
        assert.equal(received.isComplete, true);
      }
      assert.equal(upstreams[0]?.requests.length, 1);
      assert.equal(running.balancer.admission.bodies.taken, large.length);
      const small = ask();
      answerChat((await upstreams[0]?.next()) ?? assert.fail());
      assert.equal((await small).status, 200);
      // At its first bytes the answer is committed, and the body is not needed any more.
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write('data: 1\n\n');
      const reading = await opened;
      assert.equal(running.balancer.admission.bodies.taken, 0);
      const second = ask(large);
      await until(() => heldAt(0).length === 1);
      await answerAll([second]);
      res.end();
      await reading.done;
      running.assertIdle();
    });

    it('refuses a body larger than MAX_BODY_BYTES with 413, declared or not, and goes on', async () => {
      await startSimulated({ settings: { MAX_BODY_BYTES: '100000' } });
      const large = chat({ x: 'y'.repeat(100_000) });
      for (const sent of [{ body: large }, { method: 'POST', pieces: [large.slice(0, 60_000), large.slice(60_000)] }]) {
        const received = await send(running.url + PATH, sent);
        assert.equal(received.status, 413);
        assert.equal(errorOf(received).code, 'body_too_large');
        assert.equal(received.isComplete, true);
      }
      assert.deepEqual(callCounts(running), [0, 0, 0]);
      assert.equal((await ask()).status, 200);
      running.assertIdle();
    });

    it('of streams empties as they end', async () => {
      await startSimulated({ settings: { MAX_CONCURRENT_REQUESTS: '3' } });
      for (const resource of running.resources) resource.always({ kind: 'stall', afterChunks: 3 });
      const body = chat({ stream: true });
      const readings = await Promise.all([1, 2, 3].map(() => open(running.url + PATH, { body })));
      assert.equal((await ask(body)).status, 503);
      for (const reading of readings) reading.leave();
      for (const resource of running.resources) resource.clearFaults();
      await until(() => hasNoOpenRequests(running) && running.balancer.admission.inFlight === 0);
      assert.equal((await ask(body)).status, 200);
      running.assertIdle();
    });
  });
});
