import assert from 'node:assert/strict';
import { createAuthority, type Authority, type ServerCertificate } from '../../simulator/tls.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { startHastyUpstream, type Haste, type HastyUpstream } from '../support/hasty-upstream.ts';
import { chat, send, type Received } from '../support/http.ts';
import { answerOf, assertCall, course, statesOf } from '../support/observed.ts';
import { rawAnswer } from '../support/raw-upstream.ts';
import { trust } from '../support/trust.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const BODY = chat({ user: 'x'.repeat(5 * 2 ** 20) });
/** A race is run often: each time the end comes at another moment of the writing. */
const TIMES = 4;

function errorWith(code: string): string {
  return JSON.stringify({ error: { code, message: 'No.' } });
}

describe('an answer that comes before the body was read, and the end of the connection with it', () => {
  let authority: Authority;
  let tls: ServerCertificate;
  let forget: () => void;
  before(async () => {
    authority = await createAuthority();
    tls = await authority.issue();
    forget = trust(authority);
  });
  after(() => forget());

  let upstream: HastyUpstream;
  let running: RunningBalancer;
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  /** openai1 is hasty, openai2 a simulated resource. */
  async function start(haste: Haste): Promise<void> {
    upstream = await startHastyUpstream(haste);
    running = await startBalancer({ backends: 2, settings: { BACKEND_1_URL: upstream.url } });
  }

  const ask = (): Promise<Received> => send(`${running.url}/v1/chat/completions`, { body: BODY });

  for (const ending of ['close', 'reset', 'end'] as const) {
    for (const isSecure of [false, true]) {
      const how = `${ending}${isSecure ? ', under TLS' : ''}`;

      it(`is the answer: 413 (${how})`, async () => {
        const body = errorWith('too_large');
        await start({
          answer: rawAnswer('413 Payload Too Large', ['connection: close'], body),
          ending,
          ...(isSecure ? { tls } : {}),
        });
        for (let n = 0; n < TIMES; n += 1) {
          const { received, finished } = await watch(running, ask);
          assert.deepEqual([received.status, received.body.toString(), received.isComplete], [413, body, true]);
          assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=413' });
          assert.deepEqual([finished.ending, finished.reasons], ['delivered', undefined]);
          await assertAtRest(running);
        }
        assert.equal(running.resources[1]?.calls.length, 0);
        assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      });

      it(`is failed over with the whole body for what it says: 429 (${how})`, async () => {
        const answer = rawAnswer('429 Too Many Requests', ['connection: close', 'retry-after-ms: 1'], 'slow');
        await start({ answer, ending, ...(isSecure ? { tls } : {}) });
        for (let n = 0; n < TIMES; n += 1) {
          const { received, finished } = await watch(running, ask);
          assert.equal(answerOf(received), 'openai2 answers: Say hello.');
          assert.match(String(received.headers['x-balancer-trace']), /^(?:openai1=429\(1ms\) )?openai2=200$/);
          assert.equal(finished.reasons, undefined);
          assertCall(running.resources[1]?.calls.at(-1), {
            path: '/openai/v1/chat/completions',
            body: BODY,
            key: 'key-2',
          });
          await assertAtRest(running);
        }
        assert.equal(running.resources[1]?.calls.length, TIMES);
        assert.match(statesOf(running)[0] ?? '', /^closed\/(?:cooldown|probing)$/);
      });
    }
  }

  it('is failed over for what it says: 401 puts the backend in quarantine', async () => {
    const answer = rawAnswer('401 Unauthorized', ['connection: close'], errorWith('401'));
    await start({ answer, ending: 'reset' });
    const { received, finished, changes } = await watch(running, ask);
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: 'openai1=401 openai2=200' });
    assert.equal(finished.ending, 'delivered');
    assert.match(changes.join(''), /^ERROR Backend openai1 quarantined: [^\n]*\n$/);
    assert.deepEqual(statesOf(running), ['quarantined/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  it('is the answer to a creation too, which is sent nowhere else', async () => {
    const body = errorWith('too_large');
    await start({ answer: rawAnswer('413 Payload Too Large', ['connection: close'], body), ending: 'reset' });
    for (let n = 0; n < TIMES; n += 1) {
      const { received } = await watch(running, () =>
        send(`${running.url}/v1/files`, {
          body: Buffer.alloc(5 * 2 ** 20, 'x'),
          headers: { 'content-type': 'application/octet-stream' },
        }),
      );
      assert.deepEqual([received.status, received.body.toString()], [413, body]);
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=413' });
      await assertAtRest(running);
    }
    assert.equal(running.resources[1]?.calls.length, 0);
  });

  it('is not waited for when there is none: a reset in the middle of the body is failed over at once', async () => {
    await start({ answer: '', ending: 'reset' });
    for (let n = 0; n < TIMES; n += 1) {
      const { received } = await watch(running, ask);
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.match(String(received.headers['x-balancer-trace']), /^(?:openai1=reset )?openai2=200$/);
      await assertAtRest(running);
    }
    assert.equal(running.resources[1]?.calls.length, TIMES);
    assert.equal(statesOf(running)[0], 'closed/open');
  });
});
