// What answers say is left of a quota is used before the 429, and nothing is spent on what must be refused.

import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { callCounts, course } from '../support/observed.ts';

const DEPLOYMENT = 'gpt-5.4-mini';

describe('a quota that is running out', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(tpm: readonly number[]): Promise<void> {
    running = await startBalancer({
      backends: tpm.length,
      resource: (index) => ({
        deployments: { [DEPLOYMENT]: { model: DEPLOYMENT, window: 'fixed', tpm: tpm[index] ?? 0 } },
      }),
      settings: { OPERATOR_KEYS: 'alice=op' },
    });
  }

  const ask = (maxTokens: number): Promise<Received> =>
    send(`${running.url}/v1/chat/completions`, { body: chat({ max_tokens: maxTokens }) });

  const calls = (): number => callCounts(running).reduce((sum, count) => sum + count, 0);

  it('is used up, and beyond it nobody is asked: the callers are told when there is more', async () => {
    await start([1000, 1000]);
    const statuses: number[] = [];
    for (let n = 0; n < 40; n += 1) statuses.push((await ask(90)).status);
    const answered = statuses.filter((status) => status === 200).length;
    // About 100 tokens each: no more than the two have.
    assert.ok(answered >= 16 && answered <= 20, String(answered));
    assert.ok(calls() <= answered + 2, `${calls()} calls for ${answered} answers`);
    const refused = await ask(90);
    assert.deepEqual([refused.status, errorOf(refused).code], [429, 'all_backends_throttled']);
    assert.equal(course(refused).attempts, '0');
    assert.ok(Number(refused.headers['retry-after-ms']) > 1000);
    running.assertIdle();
  });

  it('still takes small requests where a large one was refused', async () => {
    await start([1000]);
    assert.equal((await ask(400)).status, 200);
    assert.equal((await ask(900)).status, 429);
    assert.equal((await ask(950)).status, 429);
    assert.equal(calls(), 2);
    assert.equal((await ask(100)).status, 200);
    running.assertIdle();
  });

  it('leaves room for large requests: the fullest one that is enough is asked first', async () => {
    await start([2000, 2000]);
    // Both have less than half left, the second less than the first.
    await Promise.all([ask(1050), ask(1150)]);
    for (let n = 0; n < 3; n += 1) await ask(100);
    assert.deepEqual(callCounts(running), [1, 4]);
    assert.equal((await ask(900)).headers['x-balancer-backend'], 'openai1');
    running.assertIdle();
  });

  it('is told and shown when the platform reduces it', async () => {
    await start([1000]);
    await ask(10);
    running.resources[0]?.reduce(400, 60_000);
    await ask(10);
    assert.ok(
      running.log.some((line) => /^WARNING Backend openai1\/\S+ has 400 tokens a minute for a while, 1000/.test(line)),
    );
    const headers = { 'api-key': 'op', accept: 'application/json' };
    const { backends }: { backends: { deployments: { reduction?: unknown }[] }[] } = JSON.parse(
      (await send(`${running.url}/status`, { headers })).body.toString(),
    );
    assert.deepEqual(backends[0]?.deployments[0]?.reduction, { limit: 400, usual: 1000 });
  });
});
