import assert from 'node:assert/strict';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { chat, errorOf, send } from '../support/http.ts';
import { startKeyServer, type KeyServer } from '../support/key-server.ts';
import { answerOf } from '../support/observed.ts';
import { endProcesses, startProcess, type RunningProcess } from '../support/process.ts';
import { APP, LIFETIME, signingKey, TENANT, tokenBy, v2Claims } from '../support/tokens.ts';

const A = signingKey('key-a');

/** By the real clock, which is the one that the process goes by. */
function tokenNow(): string {
  const now = Math.floor(Date.now() / 1000);
  return tokenBy(A, v2Claims({ iat: now, nbf: now, exp: now + LIFETIME }));
}

describe('the process, with a tenant', function () {
  this.timeout(20_000);
  let fleet: TestFleet;
  let keys: KeyServer;
  beforeEach(async () => {
    fleet = await startTestFleet(1);
    keys = await startKeyServer(A);
  });
  afterEach(async () => {
    await endProcesses();
    await fleet.close();
    await keys.close();
  });

  function start(more: Readonly<Record<string, string>> = {}): Promise<RunningProcess> {
    return startProcess({ ...fleet.env, ENTRA_TENANT_ID: TENANT, ENTRA_JWKS_URL: keys.url, ...more });
  }

  for (const format of ['text', 'json']) {
    it(`serves its tokens, and names who called in a log (${format}) that never holds one`, async () => {
      const started = await start({ LOG_FORMAT: format });
      const token = tokenNow();
      const served = await send(`${started.url}/v1/chat/completions`, { headers: { 'api-key': token }, body: chat() });
      assert.equal(answerOf(served), 'openai1 answers: Say hello.');
      const cut = token.slice(0, -3);
      const refused = await send(`${started.url}/v1/chat/completions`, { headers: { 'api-key': cut }, body: chat() });
      assert.deepEqual([refused.status, errorOf(refused).code], [401, 'token_signature_invalid']);
      await started.line(new RegExp(format === 'json' ? `"client":"${APP}"` : ` client=${APP} `));
      await started.line(/token_signature_invalid/);
      for (const part of token.split('.')) {
        assert.ok(!started.lines.join('\n').includes(part.slice(0, 40)));
        assert.ok(!started.errors.includes(part.slice(0, 40)));
      }
      assert.equal(keys.requests.length, 1);
      assert.equal(started.errors, '');
    });
  }

  it('starts without their keys and says so: nobody is let in, and nothing ends', async () => {
    await keys.stopListening();
    const started = await start();
    await started.line(
      /^ERROR The signing keys of tokens cannot be fetched from http:\/\/127\.0\.0\.1:\d+\/.*: ECONNREFUSED\./,
    );
    const headers = { 'api-key': tokenNow() };
    const refused = await send(`${started.url}/v1/chat/completions`, { headers, body: chat() });
    assert.deepEqual([refused.status, errorOf(refused).code], [503, 'token_keys_unavailable']);
    assert.equal((await send(`${started.url}/readyz`)).status, 200);
    assert.equal(fleet.resources[0]?.calls.length, 0);
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(started.errors, '');
  });
});
