import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { overrideNames, type Names } from '../support/names.ts';
import { answerOf, assertCall, callCounts, course, statesOf } from '../support/observed.ts';
import { startFleet, type Fleet } from '../../simulator/fleet.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const NAME = 'openai1.test';

describe('the name of a backend', () => {
  let names: Names;
  let running: RunningBalancer;
  let fleet: Fleet;
  let now: number;
  beforeEach(async () => {
    now = 1000;
    names = overrideNames();
    fleet = await startFleet([
      { name: 'openai1', apiKey: 'key-1', deployments: { 'gpt-5.4-mini': { model: 'gpt-5.4-mini' } } },
    ]);
  });
  afterEach(async () => {
    names.restore();
    await running.close();
    await fleet.close();
  });

  const ask = (): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body: chat() });

  /** openai1 by its name, and openai2 beside it. */
  async function start(host: string, more: Readonly<Record<string, string>> = {}, backends = 2): Promise<void> {
    running = await startBalancer({
      backends,
      clock: () => now,
      settings: { BACKEND_1_URL: `http://${host}`, ...more },
    });
  }

  function port(): string {
    return new URL(fleet.resources[0]?.url ?? '').port;
  }

  async function assertNotReached(reason: RegExp): Promise<void> {
    const { received, finished, line, changes } = await watch(running, ask);
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: 'openai1=connect openai2=200' });
    const code = /^openai1=(\S+)$/.exec(finished.reasons ?? '')?.[1] ?? '';
    assert.match(code, reason);
    assert.ok(line.includes(` reasons=openai1=${code} `), line);
    assert.ok(changes[0]?.endsWith(`state=open reason=${code}\n`), changes.join(''));
    assert.deepEqual(callCounts(running), [0, 1]);
    assertCall(running.resources[1]?.calls[0], {
      path: '/openai/v1/chat/completions',
      body: chat(),
      key: 'key-2',
    });
    assert.deepEqual(statesOf(running), ['open/closed', 'closed/closed']);
    await assertAtRest(running);
  }

  it('that nobody knows is failed over, and the log says so', async () => {
    await start(`nobody.invalid:${port()}`);
    await assertNotReached(/^(?:ENOTFOUND|EAI_AGAIN|CONNECT_TIMEOUT)$/);
  });

  it('that is not found is asked for again when its rest is over, and the backend is back with it', async () => {
    await start(`${NAME}:${port()}`);
    await assertNotReached(/^ENOTFOUND$/);
    assert.deepEqual(names.lookups, [NAME]);
    names.set(NAME, ['127.0.0.1']);
    assert.equal(answerOf(await ask()), 'openai2 answers: Say hello.');
    assert.deepEqual(names.lookups, [NAME]);
    now += 1000;
    const received = await ask();
    assert.equal(answerOf(received), 'openai1 answers: Say hello.');
    assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
    assert.equal(fleet.resources[0]?.calls[0]?.headers.host, `${NAME}:${port()}`);
    assert.deepEqual(statesOf(running), ['recovering/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  it('whose look-up never ends is given up after CONNECT_TIMEOUT_SECONDS', async () => {
    names.set(NAME, 'never');
    await start(`${NAME}:${port()}`, { CONNECT_TIMEOUT_SECONDS: '0.1' });
    await assertNotReached(/^CONNECT_TIMEOUT$/);
  });

  it('of the only backend, not found, is an honest 502 that tells the caller no name', async () => {
    await start(`${NAME}:${port()}`, {}, 1);
    const { received, finished, line } = await watch(running, ask);
    assert.deepEqual([received.status, errorOf(received).code], [502, 'backends_unreachable']);
    assert.ok(!(received.body.toString() + received.rawHeaders.join()).includes(NAME));
    assert.ok(!(received.body.toString() + received.rawHeaders.join()).includes('ENOTFOUND'));
    assert.deepEqual(course(received), { backend: undefined, attempts: '1', trace: 'openai1=connect' });
    assert.deepEqual([finished.ending, finished.reasons], ['refused', 'openai1=ENOTFOUND']);
    assert.match(line, /^WARNING POST \/v1\/chat\/completions 502 refused /);
    await assertAtRest(running);
  });

  for (const addresses of [
    ['127.0.0.2', '127.0.0.1'],
    ['::1', '127.0.0.1'],
    ['127.0.0.3', '::1', '127.0.0.2', '127.0.0.1'],
  ]) {
    it(`that resolves to ${addresses.join(', ')}, of which the last alone listens, is reached in one attempt`, async () => {
      names.set(NAME, addresses);
      await start(`${NAME}:${port()}`);
      for (const _ of [1, 2]) {
        const { received, finished } = await watch(running, ask);
        assert.equal(answerOf(received), 'openai1 answers: Say hello.');
        assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
        assert.equal(finished.reasons, undefined);
      }
      assert.equal(fleet.resources[0]?.openSockets, 1);
      assert.deepEqual(names.lookups, [NAME]);
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      await assertAtRest(running);
    });
  }

  it('that resolves to several addresses where nobody listens is failed over with the reason of the network', async () => {
    names.set(NAME, ['127.0.0.2', '127.0.0.3']);
    await start(`${NAME}:${port()}`);
    await assertNotReached(/^ECONNREFUSED$/);
  });
});
