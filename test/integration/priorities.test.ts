// A provisioned deployment first, to the millisecond, and pay-as-you-go for what it cannot take.

import assert from 'node:assert/strict';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';
import { useManualTimers, type ManualTimers } from '../support/manual-timers.ts';
import { answerOf, callCounts, course } from '../support/observed.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';
const DEPLOYMENT = 'gpt-5.4-mini';

describe('a backend of a better priority', () => {
  let running: RunningBalancer;
  let timers: ManualTimers | undefined;
  afterEach(async () => {
    timers?.restore();
    await running.close();
  });

  async function start(settings: Readonly<Record<string, string>> = {}, setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({
      backends: 2,
      ...setup,
      settings: { BACKEND_2_PRIORITY: '2', OPERATOR_KEYS: 'alice=op', ...settings },
    });
  }

  /** Time passes by the function that this gives, and only then. */
  async function startByHand(settings: Readonly<Record<string, string>> = {}): Promise<(ms: number) => void> {
    const clock = manualClock();
    const manual = useManualTimers();
    timers = manual;
    await start(settings, { clock: clock.now });
    return (ms) => {
      clock.advance(ms);
      manual.advance(ms);
    };
  }

  const waits = (count: number): Promise<void> => until(() => running.balancer.hold.size === count);

  const ask = (headers: Record<string, string> = {}, body = chat()): Promise<Received> =>
    send(running.url + PATH, { body, headers });

  function throttle(retryAfterMs: number): void {
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs });
  }

  const metrics = async (): Promise<string> =>
    (await send(`${running.url}/metrics`, { headers: { 'api-key': 'op' } })).body.toString();

  it('that is back in a moment is waited for, and nobody else is asked', async () => {
    const pass = await startByHand();
    throttle(43);
    const asked = ask();
    await waits(1);
    pass(42);
    assert.equal(running.balancer.hold.size, 1);
    pass(1);
    const received = await asked;
    assert.equal(answerOf(received), 'openai1 answers: Say hello.');
    assert.equal(course(received).trace, 'openai1=429(43ms) held=43ms openai1=200');
    assert.deepEqual(callCounts(running), [2, 0]);
    assert.doesNotMatch(await metrics(), /^balancer_spillovers_total\{/m);
    running.assertIdle();
  });

  it('is waited for by those who come meanwhile too, who do not ask it before its time', async () => {
    await start();
    throttle(80);
    const received = await Promise.all([ask(), ask(), ask()]);
    for (const one of received) assert.equal(answerOf(one), 'openai1 answers: Say hello.');
    assert.equal(callCounts(running)[1], 0);
    running.assertIdle();
  });

  for (const [what, settings, headers] of [
    ['asks for longer', {}, {}],
    ['is not to be waited for', { PRIORITY_WAIT_MS: '0' }, {}],
    ['is not to be waited for by this caller', { MAX_HOLD_SECONDS: '2' }, { 'x-balancer-max-hold-ms': '0' }],
  ] as const) {
    it(`that ${what} spills to the next at once, and that is told and counted`, async () => {
      await start(settings);
      const waitMs = what === 'asks for longer' ? 400 : 43;
      throttle(waitMs);
      const received = await ask(headers);
      assert.equal(course(received).trace, `openai1=429(${waitMs}ms) openai2=200`);
      assert.ok(running.log.some((line) => /^Proxying to .* backend=openai2 .* spilled_from=openai1 /.test(line)));
      assert.ok(running.log.some((line) => /^POST .* backend=openai2 .* spilled_from=openai1 /.test(line)));
      const counted = 'balancer_spillovers_total{backend="openai2",from_backend="openai1"} 1';
      assert.ok((await metrics()).includes(counted));
      running.assertIdle();
    });
  }

  it('is waited for by one when somebody waited in vain, and nobody queues behind that one, whatever may be held', async () => {
    const pass = await startByHand({ MAX_HOLD_SECONDS: '2' });
    running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 100 });
    const both = [ask(), ask()];
    await waits(2);
    pass(100);
    await Promise.all(both);
    const only = ask();
    await waits(1);
    for (const one of await Promise.all([ask(), ask(), ask()])) assert.equal(course(one).trace, 'openai2=200');
    assert.equal(running.balancer.hold.size, 1);
    pass(100);
    assert.equal(answerOf(await only), 'openai2 answers: Say hello.');
    running.assertIdle();
  });

  it('that names waits which are not true is asked nine times by a request, which is spilled then', async () => {
    await start({ PRIORITY_WAIT_MS: '5000' });
    running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 1 });
    assert.equal(answerOf(await ask()), 'openai2 answers: Say hello.');
    assert.deepEqual(callCounts(running), [9, 1]);
    running.assertIdle();
  });

  it('that is failing is nobody to be spilled from', async () => {
    await start();
    running.resources[0]?.script({ kind: 'status', status: 503 });
    assert.equal(course(await ask()).trace, 'openai1=503 openai2=200');
    assert.equal(running.log.join('').includes('spilled_from'), false);
  });

  it('tells how full it is', async () => {
    const provisioned = { model: DEPLOYMENT, provisioned: { tokensPerMinute: 60_000 } };
    await start({}, { resource: (index) => (index === 0 ? { deployments: { [DEPLOYMENT]: provisioned } } : {}) });
    const said = Number.parseInt(String((await ask()).headers['azure-openai-deployment-utilization']), 10);
    const status = await send(`${running.url}/status`, { headers: { 'api-key': 'op', accept: 'application/json' } });
    const { backends }: { backends: { deployments: { quota?: unknown }[] }[] } = JSON.parse(status.body.toString());
    assert.deepEqual(backends[0]?.deployments[0]?.quota, { utilizationPercent: said });
    const line = `balancer_utilization_ratio{backend="openai1",gen_ai_request_model="${DEPLOYMENT}"} ${said / 100}`;
    assert.ok((await metrics()).includes(line));
  });
});

describe('a prompt that is too long', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(spills: boolean, contextTokens: readonly (number | undefined)[]): Promise<void> {
    running = await startBalancer({
      resource: (index) => {
        const most = contextTokens[index];
        return {
          deployments: { [DEPLOYMENT]: { model: DEPLOYMENT, ...(most === undefined ? {} : { contextTokens: most }) } },
        };
      },
      settings: { BACKEND_3_PRIORITY: '2', SPILL_LONG_PROMPTS: String(spills) },
    });
  }

  const ask = (): Promise<Received> =>
    send(running.url + PATH, { body: chat({ messages: [{ role: 'user', content: 'word '.repeat(100) }] }) });

  it('is asked of those of a worse priority where it is spilled, and of nobody beside', async () => {
    await start(true, [10, undefined, undefined]);
    const received = await ask();
    assert.equal(course(received).trace, 'openai1=400 openai3=200');
    assert.deepEqual(callCounts(running), [1, 0, 1]);
    running.assertIdle();
  });

  it('is refused in the words of the last when it is too long for all', async () => {
    await start(true, [10, 20, 30]);
    const received = await ask();
    assert.equal(received.status, 400);
    assert.match(errorOf(received).message, /maximum context length is 30 tokens/);
    assert.deepEqual(callCounts(running), [1, 0, 1]);
    running.assertIdle();
  });

  it('is its own affair elsewhere', async () => {
    await start(false, [10, undefined, undefined]);
    const received = await ask();
    assert.deepEqual([received.status, errorOf(received).code], [400, 'context_length_exceeded']);
    assert.deepEqual(callCounts(running), [1, 0, 0]);
    running.assertIdle();
  });
});

describe("Azure's own spillover", () => {
  it('is asked for by the caller, and what it did is passed on and told', async () => {
    const deployments = {
      [DEPLOYMENT]: { model: DEPLOYMENT, provisioned: { tokensPerMinute: 60_000 } },
      paygo: { model: DEPLOYMENT },
    };
    const running = await startBalancer({ backends: 1, resource: () => ({ deployments }) });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 1000 });
    const received = await send(running.url + PATH, {
      body: chat(),
      headers: { 'x-ms-spillover-deployment': 'paygo' },
    });
    assert.equal(received.status, 200);
    assert.equal(received.headers['x-ms-spillover-from-deployment'], DEPLOYMENT);
    const told = `spillover="${DEPLOYMENT} to ${String(received.headers['x-ms-deployment-name'])}: ${String(received.headers['x-ms-spillover-error'])}"`;
    assert.ok(
      running.log.some((line) => line.includes(told)),
      running.log.join(''),
    );
    await running.close();
  });
});
