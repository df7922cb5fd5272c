// A role that was just given takes some minutes to take effect, and meanwhile Azure refuses as it would a wrong one.

import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { answerOf, callCounts, course, statesOf } from '../support/observed.ts';
import { manualClock, type ManualClock } from '../support/manual-clock.ts';

describe('an identity whose role is not in force yet', () => {
  let running: RunningBalancer;
  let clock: ManualClock;
  afterEach(() => running.close());

  async function start(roleAfterMs: number): Promise<void> {
    clock = manualClock(1000);
    running = await startBalancer({
      backends: 2,
      clock: clock.now,
      resource: () => ({ bearerToken: 'token', roleAfterMs, now: clock.now }),
      settings: { BACKEND_1_APIKEY: undefined, BACKEND_2_APIKEY: undefined },
      credential: () =>
        Promise.resolve({
          getToken: () => Promise.resolve({ token: 'token', expiresOnTimestamp: Date.now() + 3_600_000 }),
        }),
    });
  }

  const ask = (path = '/v1/chat/completions'): Promise<Received> => send(running.url + path, { body: chat() });

  it('is told to callers as what it is, with the time of the next try, and is over by itself', async () => {
    await start(60_000);
    const refused = await ask();
    assert.deepEqual([refused.status, errorOf(refused).code], [503, 'backend_auth_pending']);
    assert.equal(course(refused).trace, 'openai1=401 openai2=401');
    const waitMs = Number(refused.headers['retry-after-ms']);
    assert.ok(waitMs >= 5000 && waitMs <= 5500, `${waitMs} ms`);
    clock.advance(60_000);
    assert.equal(answerOf(await ask()), 'openai1 answers: Say hello.');
    running.assertIdle();
  });

  it('keeps nobody from the backends: each request asks them, for another operation may be permitted', async () => {
    await start(60_000);
    await ask();
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await ask();
    assert.deepEqual(callCounts(running), [2, 2]);
  });

  it('is no question any more when it was in force once: then an operation is not permitted', async () => {
    await start(0);
    await ask();
    running.resources[0]?.script({ kind: 'status', status: 503 });
    await ask();
    clock.advance(1000);
    for (const resource of running.resources) resource.always({ kind: 'permission-denied' });
    const refused = await ask();
    assert.deepEqual([refused.status, errorOf(refused).code], [403, 'operation_not_permitted']);
  });

  it('is quarantined for five seconds where the whole credential is refused', async () => {
    await start(0);
    for (const resource of running.resources) resource.always({ kind: 'unauthorized' });
    const refused = await ask();
    assert.deepEqual([refused.status, errorOf(refused).code], [503, 'backend_auth_pending']);
    assert.deepEqual(statesOf(running), ['quarantined/closed', 'quarantined/closed']);
    await ask();
    assert.deepEqual(callCounts(running), [1, 1]);
    for (const resource of running.resources) resource.clearFaults();
    clock.advance(5000);
    assert.equal((await ask()).status, 200);
    running.assertIdle();
  });
});
