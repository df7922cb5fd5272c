// The failover table of the contract, row by row: each fault at the first backend, the first two and all three, for
// whole and streamed answers. What the caller gets, who was asked what, and what is believed of each backend afterwards.

import assert from 'node:assert/strict';
import type { HandlerLimits } from '../../app/src/proxy/handler-deps.ts';
import type { Fault } from '../../simulator/scenario.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';
import { answerOf, assertCall, callCounts, course, hasNoOpenRequests, statesOf } from '../support/observed.ts';
import { startMuteServer } from '../support/mute-server.ts';
import { takeDown } from '../support/outage.ts';
import { until } from '../support/until.ts';

/** What a backend does to every request. */
type Trouble = Fault | 'not listening';

interface Row {
  readonly name: string;
  readonly trouble: Trouble;
  /** In x-balancer-trace, after `openai1=`. */
  readonly step: string | RegExp;
  /** host/deployment of a backend in trouble, after another one answered. */
  readonly leaves: string;
  /** The same when none answered, where that differs. */
  readonly leavesAlone?: string;
  /** What the caller gets when all are in this trouble: the last backend's own words, or an error of our own. */
  readonly nobody: 'verbatim' | { readonly status: number; readonly code: string; readonly headers?: ExpectedHeaders };
  readonly settings?: Readonly<Record<string, string>>;
  readonly handlerLimits?: Partial<HandlerLimits>;
  /** Only one kind of answer can have it. */
  readonly only?: 'whole' | 'streamed';
}

type ExpectedHeaders = Readonly<Record<string, string | RegExp | undefined>>;

const V1 = '/openai/v1/chat/completions';
const LEGACY = '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2024-10-21';

const UNREACHABLE = { status: 502, code: 'backends_unreachable', headers: { 'retry-after': '1' } };
const TIMED_OUT = { status: 504, code: 'backends_timed_out' };
const NOT_DEPLOYED = { status: 404, code: 'DeploymentNotFound' };
const UNAUTHORIZED = { status: 502, code: 'backend_auth_failed' };
const NOT_PERMITTED = { status: 403, code: 'operation_not_permitted' };

/** A 429 whose usual headers are taken away, and these put in their place. */
function throttle(headers: Readonly<Record<string, string>>): Fault {
  const none = {
    'retry-after-ms': undefined,
    'retry-after': undefined,
    'x-ratelimit-limit-requests': undefined,
    'x-ratelimit-limit-tokens': undefined,
    'x-ratelimit-remaining-requests': undefined,
    'x-ratelimit-remaining-tokens': undefined,
    'x-ratelimit-reset-requests': undefined,
    'x-ratelimit-reset-tokens': undefined,
  };
  return { kind: 'throttle', headers: { ...none, ...headers } };
}

/** With the clock of these tests standing still, the earliest recovery is told to the millisecond. */
function throttledFor(ms: number): Row['nobody'] {
  const headers = {
    'retry-after-ms': String(ms),
    'retry-after': String(Math.ceil(ms / 1000)),
    'x-should-retry': ms > 60_000 ? 'false' : undefined,
  };
  return { status: 429, code: 'all_backends_throttled', headers };
}

const denied = { error: { code: 'PermissionDenied', message: 'The principal lacks the required data action.' } };
const suspended = { error: { code: '403', message: 'This resource is temporarily blocked.' } };

const rows: readonly Row[] = [
  {
    name: 'a refused connection',
    trouble: 'not listening',
    step: 'connect',
    leaves: 'open/closed',
    nobody: UNREACHABLE,
  },
  {
    name: 'a reset before the headers',
    trouble: { kind: 'reset-before-headers' },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
  },
  {
    name: 'a connection that ends once the head was read',
    trouble: { kind: 'refuse' },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
  },
  {
    name: 'silence until HTTP_TIMEOUT_SECONDS',
    trouble: { kind: 'hang' },
    step: 'header-timeout',
    leaves: 'closed/closed(1)',
    nobody: TIMED_OUT,
    settings: { HTTP_TIMEOUT_SECONDS: '0.3' },
  },
  ...[408, 502, 503, 504].map((status): Row => ({
    name: `a ${status}`,
    trouble: { kind: 'status', status },
    step: String(status),
    leaves: 'closed/open',
    nobody: 'verbatim',
  })),
  {
    name: 'a 500',
    trouble: { kind: 'status', status: 500 },
    step: '500',
    leaves: 'closed/closed(1)',
    leavesAlone: 'closed/closed',
    nobody: 'verbatim',
  },
  {
    name: 'a 503 that is cut',
    trouble: { kind: 'status', status: 503, truncateBody: true },
    step: '503',
    leaves: 'closed/open',
    nobody: UNREACHABLE,
  },
  {
    name: 'a 503 that stalls',
    trouble: { kind: 'status', status: 503, stallBody: true },
    step: '503',
    leaves: 'closed/open',
    nobody: UNREACHABLE,
    handlerLimits: { errorBodyMs: 50 },
  },
  {
    name: 'a 400 that is cut',
    trouble: { kind: 'status', status: 400, truncateBody: true },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
  },
  {
    name: 'a 200 whose JSON is cut by a reset',
    trouble: { kind: 'reset-mid-stream', afterChunks: 2 },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
    only: 'whole',
  },
  {
    name: 'a 200 whose JSON ends early',
    trouble: { kind: 'truncated', afterChunks: 2 },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
    only: 'whole',
  },
  {
    name: 'a 200 whose JSON stalls',
    trouble: { kind: 'stall', afterChunks: 2 },
    step: 'header-timeout',
    leaves: 'closed/closed(1)',
    nobody: TIMED_OUT,
    handlerLimits: { idleMs: 100 },
    only: 'whole',
  },
  {
    name: 'a 200 stream that is reset before its first event',
    trouble: { kind: 'reset-mid-stream', afterChunks: 0 },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
    only: 'streamed',
  },
  {
    name: 'a 200 stream that ends early before its first event',
    trouble: { kind: 'truncated', afterChunks: 0 },
    step: 'reset',
    leaves: 'closed/closed(1)',
    nobody: UNREACHABLE,
    only: 'streamed',
  },
  {
    name: 'a 429 with retry-after-ms',
    trouble: throttle({ 'retry-after-ms': '1200', 'retry-after': '2' }),
    step: '429(1200ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(1200),
  },
  {
    name: 'a 429 with Retry-After in seconds',
    trouble: throttle({ 'retry-after': '7' }),
    step: '429(7000ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(7000),
  },
  {
    name: 'a 429 with Retry-After as a date',
    trouble: throttle({ 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() }),
    // The hour began when this file was loaded, which on a slow machine is minutes ago.
    step: /^429\([23]\d{6}ms\)$/,
    leaves: 'closed/cooldown',
    nobody: {
      status: 429,
      code: 'all_backends_throttled',
      headers: { 'retry-after-ms': /^[23]\d{6}$/, 'retry-after': /^[23]\d{3}$/, 'x-should-retry': 'false' },
    },
  },
  {
    name: 'a 429 with Retry-After of a day',
    trouble: throttle({ 'retry-after': '86400' }),
    step: '429(86400000ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(86_400_000),
  },
  {
    name: 'a 429 with reset headers only',
    trouble: throttle({
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '9',
      'x-ratelimit-remaining-requests': '5',
      'x-ratelimit-reset-requests': '6m0s',
    }),
    step: '429(9000ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(9000),
  },
  {
    name: 'a 429 with a reset header that has an extra hyphen',
    trouble: throttle({ 'x-rate-limit-reset-tokens': '4' }),
    step: '429(4000ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(4000),
  },
  {
    name: 'a 429 that says -1, -1 and 0',
    trouble: throttle({ 'x-ratelimit-remaining-requests': '-1', 'x-ratelimit-reset-tokens': '-1', 'retry-after': '0' }),
    step: '429',
    leaves: 'closed/cooldown',
    nobody: throttledFor(1000),
  },
  {
    name: 'a 429 that says nothing',
    trouble: throttle({}),
    step: '429',
    leaves: 'closed/cooldown',
    nobody: throttledFor(1000),
  },
  {
    name: 'a 429 whose body is cut',
    trouble: { kind: 'status', status: 429, headers: { 'retry-after-ms': '1200' }, truncateBody: true },
    step: '429(1200ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(1200),
  },
  {
    // Waiting for that body would outlast the test.
    name: 'a 429 whose body stalls',
    trouble: { kind: 'status', status: 429, headers: { 'retry-after-ms': '1200' }, stallBody: true },
    step: '429(1200ms)',
    leaves: 'closed/cooldown',
    nobody: throttledFor(1200),
    handlerLimits: { errorBodyMs: 600_000 },
  },
  {
    name: 'a missing deployment',
    trouble: { kind: 'missing-deployment' },
    step: /^40[04]$/,
    leaves: 'closed/missing',
    nobody: NOT_DEPLOYED,
  },
  {
    name: 'a 401 to our credential',
    trouble: { kind: 'unauthorized' },
    step: '401',
    leaves: 'quarantined/closed',
    nobody: UNAUTHORIZED,
  },
  {
    name: 'a 403 to our credential',
    trouble: { kind: 'status', status: 403, body: suspended },
    step: '403',
    leaves: 'quarantined/closed',
    nobody: UNAUTHORIZED,
  },
  {
    name: 'a 401 PermissionDenied',
    trouble: { kind: 'permission-denied' },
    step: '401',
    leaves: 'closed/closed',
    nobody: NOT_PERMITTED,
  },
  {
    name: 'a 403 PermissionDenied',
    trouble: { kind: 'status', status: 403, body: denied },
    step: '403',
    leaves: 'closed/closed',
    nobody: NOT_PERMITTED,
  },
  {
    name: 'a 400 OperationNotSupported',
    trouble: { kind: 'operation-not-supported' },
    step: '400',
    leaves: 'closed/closed',
    nobody: 'verbatim',
  },
];

const forms = [
  { what: 'whole', path: V1, body: chat() },
  { what: 'streamed', path: V1, body: chat({ stream: true }) },
  { what: 'whole, in the older API', path: LEGACY, body: chat() },
  { what: 'streamed, in the older API', path: LEGACY, body: chat({ stream: true }) },
] as const;

for (const row of rows) {
  for (const { what, path, body } of forms) {
    if (row.only !== undefined && !what.startsWith(row.only)) continue;
    // Rows that take real time: what ends the waiting is the same in both APIs.
    if (path === LEGACY && (row.settings ?? row.handlerLimits) !== undefined) continue;

    describe(`failover: ${row.name} (${what})`, () => {
      let running: RunningBalancer;
      beforeEach(async () => {
        const { settings = {}, handlerLimits = {} } = row;
        running = await startBalancer({ settings, handlerLimits, clock: manualClock(1000).now });
      });
      afterEach(() => running.close());

      for (const count of [1, 2]) {
        it(`at ${count} of 3: backend ${count + 1} answers`, async () => {
          await trouble(running, row.trouble, count);
          const received = await send(running.url + path, { body });
          assert.equal(received.status, 200);
          assert.equal(answerOf(received), `openai${count + 1} answers: Say hello.`);
          const { backend, attempts, trace } = course(received);
          assert.deepEqual([backend, attempts], [`openai${count + 1}`, String(count + 1)]);
          assertTrace(trace, [...Array.from({ length: count }, () => row.step), '200']);
          assertAsked(running, row.trouble, count, { path, body, answeredBy: count + 1 });
          assert.deepEqual(
            statesOf(running),
            [0, 1, 2].map((index) => (index < count ? row.leaves : 'closed/closed')),
          );
          running.assertIdle();
        });
      }

      it('at 3 of 3: the caller is told so, honestly', async () => {
        await trouble(running, row.trouble, 3);
        const received = await send(running.url + path, { body });
        assertTrace(course(received).trace, [row.step, row.step, row.step]);
        assert.equal(course(received).attempts, '3');
        assertAsked(running, row.trouble, 3, { path, body });
        if (row.nobody === 'verbatim') {
          assert.equal(course(received).backend, 'openai3');
          await assertVerbatim(received, running, 2, { path, body });
        } else {
          assertOwnError(received, row.nobody);
        }
        const { leavesAlone = row.leaves } = row;
        assert.deepEqual(statesOf(running), [leavesAlone, leavesAlone, leavesAlone]);
        running.assertIdle();
      });
    });
  }
}

describe('failover: answers that another backend would repeat', () => {
  const verdicts: readonly { readonly name: string; readonly fault: Fault; readonly status: number }[] = [
    { name: 'a content filter', fault: { kind: 'content-filter' }, status: 400 },
    { name: 'a plain 400', fault: { kind: 'status', status: 400 }, status: 400 },
    {
      name: 'a 400 that quotes the text of a missing deployment',
      fault: {
        kind: 'status',
        status: 400,
        body: { error: { code: 'x', message: 'You said: Could not find an existing deployment to match' } },
      },
      status: 400,
    },
    {
      name: 'a 400 that is no JSON',
      fault: { kind: 'status', status: 400, body: '<html>\r\nBad request \u00e9</html>' },
      status: 400,
    },
    {
      name: 'a 400 of 200 KB',
      fault: { kind: 'status', status: 400, body: { error: { code: 'x', message: 'y'.repeat(200_000) } } },
      status: 400,
    },
    { name: 'a 400 without a body', fault: { kind: 'status', status: 400, body: '' }, status: 400 },
    { name: 'another 404', fault: { kind: 'status', status: 404 }, status: 404 },
    { name: 'a 409', fault: { kind: 'status', status: 409, headers: { 'retry-after': '3' } }, status: 409 },
    { name: 'a 413', fault: { kind: 'status', status: 413 }, status: 413 },
    { name: 'a 413 that comes before the body was read', fault: { kind: 'early-answer', status: 413 }, status: 413 },
    { name: 'a 422', fault: { kind: 'status', status: 422 }, status: 422 },
  ];
  for (const { name, fault, status } of verdicts) {
    for (const { what, path, body } of forms) {
      for (const position of [1, 2, 3]) {
        it(`passes ${name} on verbatim from backend ${position} (${what})`, async () => {
          const running = await startBalancer();
          try {
            for (const [index, resource] of running.resources.entries()) {
              resource.always(index < position - 1 ? { kind: 'throttle', retryAfterMs: 30_000 } : fault);
            }
            const received = await send(running.url + path, { body });
            assert.equal(received.status, status);
            const throttled = Array.from({ length: position - 1 }, (_, i) => `openai${i + 1}=429(30000ms) `).join('');
            assert.deepEqual(course(received), {
              backend: `openai${position}`,
              attempts: String(position),
              trace: `${throttled}openai${position}=${status}`,
            });
            assert.deepEqual(
              callCounts(running),
              [1, 2, 3].map((n) => (n <= position ? 1 : 0)),
            );
            assert.deepEqual(
              statesOf(running),
              [1, 2, 3].map((n) => (n < position ? 'closed/cooldown' : 'closed/closed')),
            );
            await assertVerbatim(received, running, position - 1, { path, body });
            running.assertIdle();
          } finally {
            await running.close();
          }
        });
      }
    }
  }
});

describe('failover: what is told when the backends failed in different ways', () => {
  const permission: Fault = { kind: 'permission-denied' };
  const missing: Fault = { kind: 'missing-deployment' };
  const unauthorized: Fault = { kind: 'unauthorized' };
  const throttled: Fault = { kind: 'throttle', retryAfterMs: 5000 };
  const failing = (status: number): Fault => ({ kind: 'status', status });
  const mixes: readonly {
    readonly rule: string;
    readonly troubles: readonly [Trouble, Trouble, Trouble];
    readonly status: number;
    /** Absent: the words of the backend of this number. */
    readonly code?: string;
    readonly from?: number;
  }[] = [
    {
      rule: 'any throttled: 429, whatever came after it',
      troubles: [throttled, failing(503), 'not listening'],
      status: 429,
      code: 'all_backends_throttled',
    },
    {
      rule: 'any throttled: 429, whatever came before it',
      troubles: [unauthorized, missing, throttled],
      status: 429,
      code: 'all_backends_throttled',
    },
    { rule: 'the last of several 5xx', troubles: [failing(502), failing(500), failing(503)], status: 503, from: 3 },
    {
      rule: 'a 5xx rather than a refused connection after it',
      troubles: [failing(503), 'not listening', 'not listening'],
      status: 503,
      from: 1,
    },
    {
      rule: 'a 5xx rather than a 401, a missing deployment or a refused operation',
      troubles: [failing(502), unauthorized, missing],
      status: 502,
      from: 1,
    },
    {
      rule: 'a refused operation rather than a missing deployment',
      troubles: [missing, permission, missing],
      status: 403,
      code: 'operation_not_permitted',
    },
    {
      rule: 'the network rather than credentials',
      troubles: [unauthorized, 'not listening', unauthorized],
      status: 502,
      code: 'backends_unreachable',
    },
    {
      rule: 'credentials rather than a missing deployment',
      troubles: [missing, unauthorized, missing],
      status: 502,
      code: 'backend_auth_failed',
    },
  ];
  for (const { rule, troubles, status, code, from } of mixes) {
    it(`is ${rule}`, async () => {
      const running = await startBalancer();
      try {
        for (const [index, each] of troubles.entries()) await troubleAt(running, index, each);
        const received = await send(running.url + V1, { body: chat() });
        assert.equal(received.status, status);
        assert.equal(received.headers['x-balancer-attempts'], '3');
        assert.deepEqual(
          callCounts(running),
          troubles.map((each) => (each === 'not listening' ? 0 : 1)),
        );
        if (code !== undefined) assert.equal(errorOf(received).code, code);
        if (from !== undefined) {
          assert.equal(received.headers['x-balancer-backend'], `openai${from}`);
          await assertVerbatim(received, running, from - 1, { path: V1, body: chat() });
        }
        running.assertIdle();
      } finally {
        await running.close();
      }
    });
  }
});

describe('failover: a connection', () => {
  it('that does not stand within CONNECT_TIMEOUT_SECONDS opens the circuit breaker of the whole host', async () => {
    const mute = await startMuteServer();
    const settings = { BACKEND_1_URL: mute.url, CONNECT_TIMEOUT_SECONDS: '0.2' };
    const running = await startBalancer({ settings });
    try {
      const received = await send(running.url + V1, { body: chat() });
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.equal(course(received).trace, 'openai1=connect openai2=200');
      assert.deepEqual(statesOf(running), ['open/closed', 'closed/closed', 'closed/closed']);
      const next = await send(running.url + V1, { body: chat() });
      assert.equal(course(next).trace, 'openai2=200');
      await until(() => mute.connections === 0);
      running.assertIdle();
    } finally {
      await running.close();
      await mute.close();
    }
  });
});

describe('failover: silence', () => {
  it('is no blame for a backend that answered something else meanwhile', async () => {
    const running = await startBalancer({ settings: { HTTP_TIMEOUT_SECONDS: '0.3' } });
    try {
      const [first] = running.resources;
      assert.ok(first !== undefined);
      first.script({ kind: 'hang' });
      const silent = send(running.url + V1, { body: chat() });
      await first.onceCalled();
      // The second request goes to a backend with less load; the third, too; so ask for another deployment there.
      const embedding = JSON.stringify({ model: 'text-embedding-3-large', input: 'x' });
      const other = await send(`${running.url}/v1/embeddings`, { body: embedding });
      assert.equal(other.headers['x-balancer-backend'], 'openai1');
      const received = await silent;
      assert.equal(received.headers['x-balancer-trace'], 'openai1=header-timeout openai2=200');
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed', 'closed/closed']);
      await until(() => hasNoOpenRequests(running));
      running.assertIdle();
    } finally {
      await running.close();
    }
  });

  it('opens the circuit breaker at the second in a row', async () => {
    const running = await startBalancer({ settings: { HTTP_TIMEOUT_SECONDS: '0.3' } });
    try {
      running.resources[0]?.always({ kind: 'hang' });
      for (const state of ['closed/closed(1)', 'closed/open']) {
        const received = await send(running.url + V1, { body: chat() });
        assert.equal(received.headers['x-balancer-trace'], 'openai1=header-timeout openai2=200');
        assert.equal(statesOf(running)[0], state);
      }
      const received = await send(running.url + V1, { body: chat() });
      assert.equal(received.headers['x-balancer-trace'], 'openai2=200');
      await until(() => hasNoOpenRequests(running));
      running.assertIdle();
    } finally {
      await running.close();
    }
  });
});

describe('failover: circuit breakers', () => {
  it('alone never refuse a request: the least recently failed backend is asked', async () => {
    let time = 1000;
    const clock = (): number => (time += 1);
    const running = await startBalancer({ clock });
    try {
      await trouble(running, { kind: 'status', status: 503 }, 3);
      await send(running.url + V1, { body: chat() });
      assert.deepEqual(statesOf(running), ['closed/open', 'closed/open', 'closed/open']);
      for (const resource of running.resources) resource.clearFaults();
      const received = await send(running.url + V1, { body: chat() });
      assert.equal(received.status, 200);
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
      assert.deepEqual(callCounts(running), [2, 1, 1]);
      assert.deepEqual(statesOf(running), ['closed/recovering', 'closed/open', 'closed/open']);
      running.assertIdle();
    } finally {
      await running.close();
    }
  });

  it('open for nobody on a poison request that fails everywhere with 500', async () => {
    const running = await startBalancer();
    try {
      await trouble(running, { kind: 'status', status: 500 }, 3);
      for (let n = 0; n < 5; n += 1) {
        const received = await send(running.url + V1, { body: chat() });
        assert.equal(received.status, 500);
      }
      assert.deepEqual(callCounts(running), [5, 5, 5]);
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed', 'closed/closed']);
      running.assertIdle();
    } finally {
      await running.close();
    }
  });
});

describe('failover: a missing deployment', () => {
  it('is remembered, and where it is missing everywhere one backend is asked again', async () => {
    const running = await startBalancer({ clock: manualClock(1000).now });
    try {
      const body = chat({ model: 'unheard-of' });
      const first = await send(running.url + V1, { body });
      assert.equal(first.headers['x-balancer-attempts'], '3');
      const second = await send(running.url + V1, { body });
      assert.equal(second.status, 404);
      assert.equal(errorOf(second).code, 'DeploymentNotFound');
      assert.match(errorOf(second).message, /"unheard-of"/);
      assert.equal(second.headers['x-balancer-attempts'], '1');
      assert.equal(
        callCounts(running).reduce((sum, calls) => sum + calls),
        4,
      );
      assert.deepEqual(statesOf(running, 'unheard-of'), ['closed/missing', 'closed/missing', 'closed/missing']);
      running.assertIdle();
    } finally {
      await running.close();
    }
  });

  it('takes no other deployment of that backend out of rotation', async () => {
    const running = await startBalancer();
    try {
      await send(running.url + V1, { body: chat({ model: 'unheard-of' }) });
      const received = await send(running.url + V1, { body: chat() });
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
    } finally {
      await running.close();
    }
  });
});

async function trouble(running: RunningBalancer, what: Trouble, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await troubleAt(running, index, what);
}

async function troubleAt(running: RunningBalancer, index: number, what: Trouble): Promise<void> {
  const resource = running.resources[index];
  assert.ok(resource !== undefined);
  if (what === 'not listening') await takeDown(resource);
  else resource.always(what);
}

function assertTrace(trace: unknown, steps: readonly (string | RegExp)[]): void {
  const parts = String(trace).split(' ');
  assert.equal(parts.length, steps.length, String(trace));
  for (const [index, step] of steps.entries()) {
    const [name, came] = (parts[index] ?? '').split('=');
    assert.equal(name, `openai${index + 1}`);
    if (typeof step === 'string') assert.equal(came, step);
    else assert.match(came ?? '', step);
  }
}

/** Everybody up to the one who answered was asked once, for the same; nobody else was asked. */
function assertAsked(
  running: RunningBalancer,
  what: Trouble,
  count: number,
  asked: { readonly path: string; readonly body: string; readonly answeredBy?: number },
): void {
  const { path, body, answeredBy = 0 } = asked;
  for (const [index, { calls }] of running.resources.entries()) {
    const isAsked = (index < count && what !== 'not listening') || index + 1 === answeredBy;
    assert.equal(calls.length, isAsked ? 1 : 0, `calls of openai${index + 1}`);
    const readsBody = typeof what !== 'object' || index >= count || what.kind !== 'refuse';
    if (isAsked && readsBody) assertCall(calls[0], { path, body, key: `key-${index + 1}` });
  }
}

function assertOwnError(received: Received, expected: Exclude<Row['nobody'], 'verbatim'>): void {
  assert.equal(received.status, expected.status, received.body.toString());
  assert.equal(received.isComplete, true);
  assert.equal(received.headers['content-type'], 'application/json');
  assert.equal(received.headers['x-balancer-backend'], undefined);
  const { code, message, type } = errorOf(received);
  assert.equal(code, expected.code);
  assert.ok(message.endsWith('.') && type !== '', received.body.toString());
  for (const [name, value] of Object.entries(expected.headers ?? {})) {
    const sent = received.headers[name];
    if (value instanceof RegExp) assert.match(String(sent), value);
    else assert.equal(sent, value, name);
  }
}

/** Status, type and every byte are what this backend itself says to the same request. */
async function assertVerbatim(
  received: Received,
  running: RunningBalancer,
  index: number,
  asked: { readonly path: string; readonly body: string },
): Promise<void> {
  const headers = { 'api-key': `key-${index + 1}` };
  const direct = await send(`${running.resources[index]?.url}${asked.path}`, { body: asked.body, headers });
  assert.equal(received.isComplete, true);
  assert.equal(received.status, direct.status);
  assert.ok(received.body.equals(direct.body), `${received.body.toString()} is not ${direct.body.toString()}`);
  for (const name of ['content-type', 'content-length', 'retry-after', 'x-ms-region']) {
    assert.equal(received.headers[name], direct.headers[name], name);
  }
}
