// The signing keys of Microsoft Entra tokens in a running balancer: rotated, withdrawn, slow, out, never there. Nobody is let
// in whose token cannot be checked, and nobody is kept out whose key is known.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { startKeyServer, type KeyAnswer, type KeyServer } from '../support/key-server.ts';
import { manualClock, type ManualClock } from '../support/manual-clock.ts';
import { callCounts } from '../support/observed.ts';
import { codeOf, connectTo, exchange, head, type RawAnswer } from '../support/raw.ts';
import {
  APP,
  documentOf,
  MADE_AT,
  MADE_AT_MS,
  OTHER_TENANT,
  signingKey,
  TENANT,
  tokenBy,
  v1Claims,
} from '../support/tokens.ts';
import { until, untilStill } from '../support/until.ts';
import { assertAtRest } from '../support/watched.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const A = signingKey('key-a');
const B = signingKey('key-b');

/** Good for a week, so that only the keys decide. */
const LONG = { exp: MADE_AT + 7 * 86_400 };
const BY_A = tokenBy(A, v1Claims(LONG));
const BY_B = tokenBy(B, v1Claims(LONG));
const OF_OTHER = tokenBy(B, v1Claims({ ...LONG, iss: `https://sts.windows.net/${OTHER_TENANT}/`, tid: OTHER_TENANT }));

describe('the signing keys of tokens', () => {
  let running: RunningBalancer;
  let keys: KeyServer;
  let clock: ManualClock;
  let wallClock: ManualClock;

  beforeEach(async () => {
    keys = await startKeyServer(A);
    clock = manualClock(1000);
    wallClock = manualClock(MADE_AT_MS);
  });
  afterEach(async () => {
    await running.close();
    await keys.close();
  });

  async function start(settings: Readonly<Record<string, string | undefined>> = {}): Promise<void> {
    running = await startBalancer({
      backends: 1,
      clock: clock.now,
      wallClockMs: wallClock.now,
      settings: { ENTRA_TENANT_ID: TENANT, ENTRA_JWKS_URL: keys.url, ...settings },
    });
  }

  function advance(ms: number): void {
    clock.advance(ms);
    wallClock.advance(ms);
  }

  function ask(credential: string): Promise<RawAnswer> {
    const lines = [`api-key: ${credential}`, 'Host: x', 'Connection: close'];
    return exchange(running.port, head('GET /v1/models HTTP/1.1', ...lines));
  }

  /** `200`, or the status and the code of the refusal. */
  async function verdictOn(credential: string): Promise<string> {
    const answer = await ask(credential);
    return answer.status === 200 ? '200' : `${answer.status} ${codeOf(answer)}`;
  }

  /** Asks until what comes in the background is there. */
  async function untilVerdict(credential: string, expected: string): Promise<void> {
    const deadline = performance.now() + 10_000;
    while ((await verdictOn(credential)) !== expected) assert.ok(performance.now() < deadline, `never ${expected}`);
  }

  function notices(): readonly string[] {
    return running.log.filter((line) => line.includes('signing keys'));
  }

  it('are fetched when it starts, before anybody needs them', async () => {
    await start();
    await until(() => keys.requests.length === 1);
    assert.equal(await verdictOn(BY_A), '200');
    assert.equal(await verdictOn(BY_A), '200');
    assert.deepEqual(keys.requests, [`/${TENANT}/keys`]);
    assert.deepEqual(notices(), []);
  });

  describe('that are rotated', () => {
    it('are found when the first token names the new one, and the old one works as long as it is published', async () => {
      await start();
      assert.equal(await verdictOn(BY_A), '200');
      keys.publish([A.jwk, B.jwk]);
      assert.equal(await verdictOn(BY_B), '401 token_signature_invalid', 'looked again within 30 s');
      advance(30 * SECOND_MS);
      assert.equal(await verdictOn(BY_B), '200');
      assert.equal(await verdictOn(BY_A), '200');
      assert.equal(keys.requests.length, 2);
    });

    it('are found by all who wait with one fetch', async () => {
      await start();
      assert.equal(await verdictOn(BY_A), '200');
      keys.publish([A.jwk, B.jwk]);
      advance(30 * SECOND_MS);
      keys.answerWith('held');
      const waiting = Promise.all(Array.from({ length: 10 }, () => verdictOn(BY_B)));
      await until(() => keys.held === 1);
      assert.equal(await verdictOn(BY_A), '200', 'a known key waits for nothing');
      await untilStill(() => keys.requests.length, 50);
      keys.release();
      assert.deepEqual(new Set(await waiting), new Set(['200']));
      assert.equal(keys.requests.length, 2);
    });

    it('are asked for every 30 s at most, however many strangers name others', async () => {
      await start();
      assert.equal(await verdictOn(BY_A), '200');
      for (let seconds = 0; seconds < 90; seconds += 10) {
        const strangers = [1, 2, 3].map((n) => tokenBy(B, v1Claims(LONG), { kid: `stranger-${seconds}-${n}` }));
        const verdicts = await Promise.all(strangers.map((token) => verdictOn(token)));
        assert.deepEqual(new Set(verdicts), new Set(['401 token_signature_invalid']));
        advance(10 * SECOND_MS);
      }
      assert.equal(keys.requests.length, 1 + 2);
      assert.deepEqual(callCounts(running), [1]);
    });

    it('are renewed hourly in the background: a withdrawn one stops working, for tokens that were seen before too', async () => {
      await start();
      keys.publish([A.jwk, B.jwk]);
      assert.equal(await verdictOn(BY_A), '200');
      assert.equal(await verdictOn(BY_B), '200');
      keys.publish([B.jwk]);
      advance(HOUR_MS);
      keys.answerWith('held');
      assert.equal(await verdictOn(BY_A), '200', 'the old ones serve meanwhile');
      await until(() => keys.held === 1);
      assert.equal(await verdictOn(BY_A), '200');
      keys.release();
      await untilVerdict(BY_A, '401 token_signature_invalid');
      assert.equal(await verdictOn(BY_B), '200');
      assert.equal(keys.requests.length, 2);
    });
  });

  describe('during an outage', () => {
    it('go on working when they are known; of others nobody can say: 503 with a retry-after', async () => {
      await start();
      assert.equal(await verdictOn(BY_A), '200');
      await keys.stopListening();
      for (let hours = 0; hours < 3; hours += 1) {
        advance(HOUR_MS);
        assert.equal(await verdictOn(BY_A), '200');
        assert.equal(await verdictOn(tokenBy(A, v1Claims({ ...LONG, uti: hours }))), '200');
        const answer = await ask(BY_B);
        assert.deepEqual([answer.status, codeOf(answer)], [503, 'token_keys_unavailable']);
        assert.equal(answer.headers['retry-after'], '5');
        assert.equal(answer.headers['www-authenticate'], undefined);
      }
      assert.deepEqual(notices(), [
        `ERROR The signing keys of tokens cannot be fetched from ${keys.urlOf(TENANT)}: ECONNREFUSED. ` +
          'Keys that are known go on working; tokens signed with others get 503. Check the network and ENTRA_JWKS_URL\n',
      ]);
      keys.publish([A.jwk, B.jwk]);
      await keys.listenAgain();
      advance(30 * SECOND_MS);
      assert.equal(await verdictOn(BY_B), '200');
      assert.deepEqual(notices().slice(1), [`The signing keys of tokens are at hand again: ${keys.urlOf(TENANT)}\n`]);
      await assertAtRest(running);
    });

    it('of one tenant is not felt by another', async () => {
      keys.publish([B.jwk], OTHER_TENANT);
      await start({ ENTRA_TENANT_ID: `${TENANT},${OTHER_TENANT}` });
      assert.equal(await verdictOn(BY_A), '200');
      assert.equal(await verdictOn(OF_OTHER), '200');
      keys.publish([], OTHER_TENANT);
      advance(HOUR_MS);
      assert.equal(await verdictOn(OF_OTHER), '200');
      assert.equal(await verdictOn(BY_A), '200');
      await until(() => notices().length === 1);
      assert.match(notices()[0] ?? '', new RegExp(`/${OTHER_TENANT}/keys: its answer has no RSA signing key\\.`));
      assert.equal(await verdictOn(OF_OTHER), '200');
      assert.equal(keys.requests.length, 4);
    });
  });

  describe('that were never there', () => {
    const troubles: readonly (readonly [how: string, answer: KeyAnswer, reason: string])[] = [
      ['a 500', { status: 500 }, 'it answered 500'],
      ['a 404', { status: 404 }, 'it answered 404'],
      ['a redirect', { status: 302, headers: { location: '/elsewhere' } }, 'unexpected redirect'],
      ['a connection that breaks off', 'reset', 'UND_ERR_SOCKET'],
      ['an endless document', 'endless', 'its answer is larger than 262144 bytes'],
      ['a huge document', { body: documentOf('x'.repeat(300_000)) }, 'its answer is larger than 262144 bytes'],
      ['a page to sign in', { body: '<!DOCTYPE html>' }, 'Unexpected token'],
      ['nothing', { body: '' }, 'Unexpected end of JSON input'],
      ['another document', { body: '{"issuer":"x"}' }, 'its answer is no key document'],
      ['no keys', { body: documentOf() }, 'its answer has no RSA signing key'],
    ];
    for (const [how, answer, reason] of troubles) {
      it(`let no token in, and are used once they are there: ${how}`, async () => {
        keys.answerWith(answer);
        await start();
        await until(() => notices().length === 1);
        assert.ok(
          notices()[0]?.startsWith(
            `ERROR The signing keys of tokens cannot be fetched from ${keys.urlOf(TENANT)}: ${reason}`,
          ),
        );
        for (const token of [BY_A, BY_B, tokenBy(B, v1Claims(LONG), { kid: A.kid })]) {
          const refused = await ask(token);
          assert.deepEqual([refused.status, codeOf(refused)], [503, 'token_keys_unavailable']);
          assert.equal(refused.headers['retry-after'], '5');
        }
        assert.equal(await verdictOn(CLIENT_KEY), '200');
        assert.equal(keys.requests.length, 1, 'asked again within its pause');
        assert.deepEqual(callCounts(running), [1]);

        keys.answerWith('keys');
        advance(SECOND_MS);
        assert.equal(await verdictOn(BY_A), '200');
        assert.equal(await verdictOn(BY_B), '401 token_signature_invalid');
        assert.equal(keys.requests.length, 2);
        assert.equal(notices().length, 2);
        await assertAtRest(running);
      });
    }

    it('let no token in where nothing listens: it starts all the same, and says so once', async () => {
      await keys.stopListening();
      await start();
      for (let tries = 0; tries < 5; tries += 1) {
        assert.equal(await verdictOn(BY_A), '503 token_keys_unavailable');
        advance(30 * SECOND_MS);
      }
      assert.equal(notices().length, 1);
      const ready = await exchange(running.port, head('GET /readyz HTTP/1.1', 'Host: x', 'Connection: close'));
      assert.equal(ready.status, 200, 'those with keys are served');
      await keys.listenAgain();
      assert.equal(await verdictOn(BY_A), '200');
      assert.deepEqual(callCounts(running), [1]);
    });
  });

  describe('that are slow', () => {
    beforeEach(async () => {
      keys.answerWith('held');
      await start();
      await until(() => keys.held === 1);
    });

    it('are waited for by everybody together, and nobody with a client key waits', async () => {
      let answered = 0;
      const waiting = Promise.all(
        Array.from({ length: 20 }, async () => {
          const verdict = await verdictOn(BY_A);
          answered += 1;
          return verdict;
        }),
      );
      assert.equal(await verdictOn(CLIENT_KEY), '200');
      await untilStill(() => answered, 50);
      assert.equal(answered, 0);
      assert.deepEqual(callCounts(running), [1], 'only the key was let in');
      keys.release();
      assert.deepEqual(new Set(await waiting), new Set(['200']));
      assert.equal(keys.requests.length, 1);
      await assertAtRest(running);
    });

    it('and fail in the end: everybody who waited is told', async () => {
      const waiting = Promise.all(Array.from({ length: 5 }, () => verdictOn(BY_A)));
      assert.equal(await verdictOn(CLIENT_KEY), '200');
      await keys.stopListening();
      assert.deepEqual(new Set(await waiting), new Set(['503 token_keys_unavailable']));
      assert.equal(notices().length, 1);
      assert.deepEqual(callCounts(running), [1]);
    });

    it('hold nothing of a caller who leaves while waiting', async () => {
      const connection = await connectTo(running.port);
      const arrived = once(running.balancer.server, 'request');
      connection.write(head('POST /v1/responses HTTP/1.1', 'Host: x', `api-key: ${BY_A}`, 'Content-Length: 2') + '{}');
      await arrived;
      connection.socket.destroy();
      await assertAtRest(running);
      assert.deepEqual(running.events, []);
      keys.release();
      const finished = await running.event('request-finished', 0);
      assert.deepEqual([finished.ending, finished.status, finished.client], ['abandoned', 499, '']);
      assert.deepEqual(callCounts(running), [0]);
      assert.equal(await verdictOn(BY_A), '200');
      running.assertIdle();
    });

    it('do not keep the clients of a known key waiting later', async () => {
      keys.release();
      assert.equal(await verdictOn(BY_A), '200');
      advance(HOUR_MS);
      for (let i = 0; i < 5; i += 1) assert.equal(await verdictOn(BY_A), '200');
      await until(() => keys.held === 1);
      assert.equal(keys.requests.length, 2);
      const finished = running.events.filter((event) => event.kind === 'request-finished');
      assert.deepEqual(new Set(finished.map(({ client }) => client)), new Set([APP]));
    });
  });
});
