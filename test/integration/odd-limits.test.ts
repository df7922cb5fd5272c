// What a backend says of its limits in ways that are not documented: how long it then rests, and what callers are told.

import assert from 'node:assert/strict';
import { answerOddities, throttleOddities, type ThrottleOddity } from '../../simulator/limits/oddities.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { answerOf, callCounts, course, statesOf } from '../support/observed.ts';

const PATH = '/v1/chat/completions';
const NOW = 5000;
/** What a 429 without any believable wait costs: the first of the doubling waits. */
const UNTOLD_MS = 1000;

/** Of a 429 that asks for 7,500 ms: what its oddity leaves of that, in ms. */
const told: Readonly<Record<ThrottleOddity, number>> = {
  none: UNTOLD_MS,
  unknown: UNTOLD_MS,
  seconds: 8000,
  milliseconds: 7500,
  float: 7500,
  date: 8000,
  'go-duration': 7500,
  hyphen: 8000,
  day: 86_400_000,
  // A wait of nothing is none that could be kept; the reset headers, which are there, say it.
  zero: 8000,
  negative: 8000,
  garbage: UNTOLD_MS,
};

describe('a 429 that says its wait in an odd way', () => {
  let running: RunningBalancer;

  const start = async (backends: number): Promise<void> => {
    running = await startBalancer({
      backends,
      clock: () => NOW,
      wallClockMs: () => 0,
      resource: () => ({ now: () => 0 }),
    });
  };
  afterEach(() => running.close());

  const ask = (stream: boolean): Promise<Received> => send(running.url + PATH, { body: chat({ stream }) });

  function restsForMs(): number {
    const state = running.balancer.pool.snapshot(NOW).backends[0]?.deployments[0]?.state;
    assert.ok(state?.kind === 'cooldown', String(state?.kind));
    return state.until - NOW;
  }

  for (const oddity of throttleOddities) {
    for (const stream of [false, true]) {
      it(`is answered by another backend, and rests as long as it was told: ${oddity}, stream ${stream}`, async () => {
        await start(2);
        running.resources[0]?.script({ kind: 'odd-throttle', oddity, retryAfterMs: 7500 });
        const received = await ask(stream);
        assert.equal(received.status, 200);
        assert.equal(answerOf(received), 'openai2 answers: Say hello.');
        assert.equal(course(received).backend, 'openai2');
        // The trace says what the backend said, and nothing where it said nothing.
        const said = told[oddity] === UNTOLD_MS ? '' : `(${told[oddity]}ms)`;
        assert.equal(course(received).trace, `openai1=429${said} openai2=200`);
        assert.deepEqual(callCounts(running), [1, 1]);
        assert.deepEqual(statesOf(running), ['closed/cooldown', 'closed/closed']);
        // A probe goes out after a minute at the latest.
        assert.equal(restsForMs(), Math.min(told[oddity], 60_000));
        running.assertIdle();
      });
    }

    it(`is told to the caller in both standard headers when there is no other: ${oddity}`, async () => {
      await start(1);
      running.resources[0]?.script({ kind: 'odd-throttle', oddity, retryAfterMs: 7500 });
      const { status, headers, body } = await ask(false);
      assert.equal(status, 429);
      const waitMs = Number(headers['retry-after-ms']);
      // Jittered upwards, by a tenth at most, so that not all callers come back at once.
      assert.ok(waitMs >= told[oddity] && waitMs <= told[oddity] * 1.1 + 1000, `${oddity}: ${waitMs}`);
      assert.equal(headers['retry-after'], String(Math.ceil(waitMs / 1000)));
      assert.equal(headers['x-should-retry'], told[oddity] > 60_000 ? 'false' : undefined);
      assert.equal(headers['x-ratelimit-limit-tokens'], undefined);
      assert.ok(body.length > 0);
      assert.deepEqual(callCounts(running), [1]);
      running.assertIdle();
    });
  }
});

describe('an answer that says its quota in an odd way', () => {
  for (const oddity of answerOddities) {
    it(`is passed on, and the backend stays in service: ${oddity}`, async () => {
      const running = await startBalancer({ backends: 1 });
      try {
        running.resources[0]?.always({ kind: 'odd-headers', oddity });
        for (const stream of [false, true, false]) {
          const received = await send(running.url + PATH, { body: chat({ stream }) });
          assert.equal(received.status, 200);
          assert.equal(answerOf(received), 'openai1 answers: Say hello.');
        }
        assert.deepEqual(statesOf(running), ['closed/closed']);
        running.assertIdle();
      } finally {
        await running.close();
      }
    });
  }
});

describe('a resource that blocks, disables keys or does not know the role yet', () => {
  for (const [name, fault] of [
    ['blocked', { kind: 'blocked' }],
    ['permission denied with 403', { kind: 'permission-denied', status: 403 }],
  ] as const) {
    it(`is answered by another: ${name}`, async () => {
      const running = await startBalancer({ backends: 2 });
      try {
        running.resources[0]?.script(fault);
        const received = await send(running.url + PATH, { body: chat() });
        assert.equal(received.status, 200);
        assert.equal(course(received).backend, 'openai2');
        assert.deepEqual(callCounts(running), [1, 1]);
        running.assertIdle();
      } finally {
        await running.close();
      }
    });
  }

  it('is answered by another: keys are disabled; then it is quarantined and not asked again', async () => {
    const running = await startBalancer({ resource: (index) => ({ isKeyless: index === 0 }) });
    try {
      for (const attempts of ['2', '1']) {
        const received = await send(running.url + PATH, { body: chat() });
        assert.equal(received.status, 200);
        assert.equal(course(received).attempts, attempts);
      }
      assert.deepEqual(statesOf(running), ['quarantined/closed', 'closed/closed', 'closed/closed']);
    } finally {
      await running.close();
    }
  });

  it('is answered with 502 and the reason when it is alone and disables keys', async () => {
    const running = await startBalancer({ backends: 1, resource: () => ({ isKeyless: true }) });
    try {
      const received = await send(running.url + PATH, { body: chat() });
      assert.equal(received.status, 502);
      assert.equal(errorOf(received).code, 'backend_auth_failed');
    } finally {
      await running.close();
    }
  });
});
