import assert from 'node:assert/strict';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import {
  IDENTITY_SECRET,
  startIdentityEndpoint,
  type IdentityAnswer,
  type IdentityEndpoint,
} from '../support/identity-endpoint.ts';
import { endProcesses, startProcess, type RunningProcess } from '../support/process.ts';

const TOKEN = 'token-of-the-identity';
const CLIENT_ID = '11111111-2222-3333-4444-555555555555';

describe('the process with a managed identity', function () {
  this.timeout(30_000);
  let fleet: TestFleet | undefined;
  let identity: IdentityEndpoint | undefined;
  afterEach(async () => {
    await endProcesses();
    await fleet?.close();
    await identity?.close();
  });

  async function start(
    answer: IdentityAnswer,
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly started: RunningProcess; readonly fleet: TestFleet; readonly identity: IdentityEndpoint }> {
    fleet = await startTestFleet(2, { bearerToken: TOKEN });
    identity = await startIdentityEndpoint(answer);
    const started = await startProcess({ ...fleet.envWithoutKeys, ...identity.env, ...env });
    return { started, fleet, identity };
  }

  function ask({ url }: RunningProcess, signal?: AbortSignal): Promise<Received> {
    return send(`${url}/v1/chat/completions`, { body: chat(), ...(signal === undefined ? {} : { signal }) });
  }

  it('asks no token before a request needs one, and sends it as the only credential', async () => {
    const { started, ...parts } = await start({ token: TOKEN });
    assert.equal((await send(`${started.url}/readyz`)).status, 200);
    assert.equal(parts.identity.requests.length, 0);
    const received = await ask(started);
    assert.equal(received.status, 200);
    assert.deepEqual(parts.identity.requests, [
      {
        method: 'GET',
        path: '/msi/token',
        query: { 'api-version': '2019-08-01', resource: 'https://cognitiveservices.azure.com' },
        secret: IDENTITY_SECRET,
      },
    ]);
    const calls = parts.fleet.resources.flatMap((resource) => resource.calls);
    assert.equal(calls.length, 1);
    assert.equal(calls[0]?.headers.authorization, `Bearer ${TOKEN}`);
    assert.equal(calls[0].headers['api-key'], undefined);
  });

  it('asks one token for twenty simultaneous requests, and none for those after them', async () => {
    const { started, ...parts } = await start({ token: TOKEN });
    const received = await Promise.all(Array.from({ length: 20 }, () => ask(started)));
    assert.deepEqual(new Set(received.map(({ status }) => status)), new Set([200]));
    assert.equal((await ask(started)).status, 200);
    assert.equal(parts.identity.requests.length, 1);
    const calls = parts.fleet.resources.flatMap((resource) => resource.calls);
    assert.equal(calls.length, 21);
    assert.deepEqual(new Set(calls.map(({ headers }) => headers.authorization)), new Set([`Bearer ${TOKEN}`]));
  });

  it('asks for the user-assigned identity that AZURE_CLIENT_ID names', async () => {
    const { started, ...parts } = await start({ token: TOKEN }, { AZURE_CLIENT_ID: CLIENT_ID });
    assert.equal((await ask(started)).status, 200);
    assert.deepEqual(
      parts.identity.requests.map(({ query }) => query['client_id']),
      [CLIENT_ID],
    );
  });

  it('answers 503 identity_unavailable while the identity does not exist, and serves without a restart when it does', async () => {
    const { started, ...parts } = await start({ status: 400 });
    const refused = await ask(started);
    assert.equal(refused.status, 503);
    assert.equal(errorOf(refused).code, 'identity_unavailable');
    assert.match(errorOf(refused).message, /AZURE_CLIENT_ID/);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    assert.deepEqual(
      parts.fleet.resources.map(({ calls }) => calls.length),
      [0, 0],
    );
    assert.match(await started.line(/was not asked/), /^WARNING openai\d was not asked: /);
    parts.identity.answerWith({ token: TOKEN });
    let received = await ask(started);
    while (received.status === 503) received = await ask(started);
    assert.equal(received.status, 200);
    assert.equal(parts.identity.requests.length, 2);
    assert.equal(started.errors, '');
  });

  it('is asked at most once in a second while the identity does not exist', async () => {
    const { started, ...parts } = await start({ status: 400 });
    const received = await Promise.all(Array.from({ length: 20 }, () => ask(started)));
    assert.deepEqual(new Set(received.map(({ status }) => status)), new Set([503]));
    assert.ok(parts.identity.requests.length <= 2, `asked ${parts.identity.requests.length} times`);
  });

  it('lets a backend with a key answer while the identity gives no token', async () => {
    fleet = await startTestFleet(2);
    identity = await startIdentityEndpoint({ status: 400 });
    const { BACKEND_1_APIKEY: _none, ...env } = fleet.env;
    const started = await startProcess({ ...env, ...identity.env });
    for (const _ of [1, 2, 3]) {
      const received = await ask(started);
      assert.equal(received.status, 200);
      assert.equal(received.headers['x-balancer-backend'], 'openai2');
    }
    assert.equal(fleet.resources[0]?.calls.length, 0);
  });

  for (const [how, answer] of [
    ['answers 500', { status: 500 }],
    ['does not answer', 'silence'],
  ] as const) {
    it(`answers 503 identity_unavailable within 10 s when the identity endpoint ${how}`, async () => {
      const { started } = await start(answer);
      const refused = await ask(started, AbortSignal.timeout(10_000));
      assert.equal(refused.status, 503);
      assert.equal(errorOf(refused).code, 'identity_unavailable');
    });
  }

  it('shows neither the token nor the secret of the endpoint in its log', async () => {
    const { started } = await start({ token: TOKEN });
    assert.equal((await ask(started)).status, 200);
    await started.line(/^POST \/v1\/chat\/completions 200 /);
    started.signal('SIGINT');
    await started.exited;
    assert.doesNotMatch(started.lines.join('\n') + started.errors, new RegExp(`${TOKEN}|${IDENTITY_SECRET}`));
    assert.equal(started.errors, '');
  });
});
