import assert from 'node:assert/strict';
import { BACKEND_SETTINGS, SETTINGS } from '../../app/src/settings.ts';
import { createCanaries, startTokenIssuer, type Canaries } from '../support/canaries.ts';
import { BACKENDS, startCanaryStage, WORDS, type CanaryStage, type StageSetup } from '../support/canary-stage.ts';
import { drain, sendEverything, type Told } from '../support/canary-traffic.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { startIdentityEndpoint } from '../support/identity-endpoint.ts';
import { endProcesses, runProcess, startProcess, type RunningProcess } from '../support/process.ts';

/** How many kinds of lines the log must have had, at the least: what was searched was not empty. */
const LEAST_LINES = 80;

describe('a secret', function () {
  this.timeout(30_000);
  const closing: (() => Promise<void>)[] = [];
  after(async () => {
    await endProcesses();
    for (const close of closing) await close();
  });

  const SETUPS = [
    { format: 'text', hasIdentity: false },
    { format: 'json', hasIdentity: false },
    { format: 'text', hasIdentity: true },
    { format: 'json', hasIdentity: true },
  ] as const satisfies readonly StageSetup[];
  const played: { readonly stage: CanaryStage; readonly told: readonly Told[] }[] = [];

  /** Side by side: most of their time is waiting. When one fails, the others still come to their end. */
  before(async () => {
    const settled = await Promise.allSettled(
      SETUPS.map(async (setup) => {
        const stage = await startCanaryStage(setup);
        closing.push(() => stage.close());
        const told = await sendEverything(stage);
        return { stage, told: [...told, await drain(stage)] };
      }),
    );
    for (const one of settled) {
      if (one.status === 'rejected') throw one.reason;
      played.push(one.value);
    }
  });

  for (const [at, setup] of SETUPS.entries()) {
    const how = `${setup.hasIdentity ? 'a managed identity' : 'keys of backends'} and a log of ${setup.format}`;
    describe(`with ${how}`, () => {
      let stage: CanaryStage;
      let told: readonly Told[];
      before(() => {
        const one = played[at];
        assert.ok(one !== undefined);
        ({ stage, told } = one);
      });

      it('is in no line of the log', () => {
        const { started, canaries } = stage;
        assert.deepEqual(
          started.lines.flatMap((line) => canaries.leaksIn(line).map((leak) => `${leak} in ${line}`)),
          [],
        );
        assert.equal(started.errors, '');
        assert.ok(started.lines.length >= LEAST_LINES, `only ${started.lines.length} lines`);
        assert.match(started.lines.at(-1) ?? '', setup.format === 'json' ? /"text":"Drained"/ : /^Drained$/);
      });

      it('is in no answer of the balancer, and of a backend’s answer only what was said there', () => {
        assert.deepEqual(
          told.flatMap(({ how: what, text, may }) =>
            stage.canaries.leaksIn(text, may).map((leak) => `${leak} in ${what}: ${text}`),
          ),
          [],
        );
        const met = told.flatMap(({ text }) => stage.canaries.leaksIn(text).map((leak) => leak.replace(/ \(.*/, '')));
        assert.deepEqual(new Set(met), new Set(WORDS));
      });

      it('of a caller or of another backend reaches no backend', () => {
        const { fleet, canaries, secrets } = stage;
        for (const [index, name] of BACKENDS.entries()) {
          const own = setup.hasIdentity ? 'token of the identity' : `key of ${name}`;
          const { calls = [] } = fleet.resources[index] ?? {};
          assert.equal(calls.length > 0, name !== 'gone', name);
          for (const { method, path, rawHeaders, body } of calls) {
            const text = [`${method} ${path}`, ...rawHeaders, body.toString()].join('\n');
            assert.deepEqual(canaries.leaksIn(text, ['prompt', 'value in a query', own]), [], `${name}: ${text}`);
            const expected = setup.hasIdentity ? `Bearer ${secrets.identityToken}` : secrets.backendKeys[index];
            assert.ok(rawHeaders.includes(expected ?? ''), `${name} was asked without a credential`);
          }
        }
        const seen = fleet.resources[0]?.calls.map(({ path, body }) => `${path} ${body.toString()}`).join('\n') ?? '';
        assert.ok(
          seen.includes(secrets.prompt) && seen.includes(secrets.queryValue),
          'the words of callers did not arrive',
        );
      });

      it('of anybody reaches neither who gives tokens nor who publishes keys, but for the one that is theirs', () => {
        const { issuer, identity, canaries, secrets } = stage;
        assert.ok(issuer.requests.length > 0);
        for (const text of issuer.requests) assert.deepEqual(canaries.leaksIn(text), []);
        assert.equal((identity?.requests.length ?? 0) > 0, setup.hasIdentity);
        for (const { secret, ...asked } of identity?.requests ?? []) {
          assert.equal(secret, secrets.identityHeader);
          assert.deepEqual(canaries.leaksIn(JSON.stringify(asked)), []);
        }
      });
    });
  }

  describe('in what is wrong', () => {
    it('with any setting is not quoted', async () => {
      const canaries = createCanaries();
      /** No setting has this form, whatever it is. */
      const value = canaries.plant('setting', ' =, \u00e9');
      const names = [
        ...SETTINGS,
        ...BACKEND_SETTINGS.filter((ending) => ending !== 'DEPLOYMENT_NAME').map((ending) => `BACKEND_1_${ending}`),
        'BACKEND_2_KEY',
        'BACKEND_URL',
      ];
      const started = runProcess(Object.fromEntries(names.map((name) => [name, `${value} =,`])));
      assert.deepEqual(await started.exited, { code: 1, signal: null });
      assert.deepEqual(canaries.leaksIn(started.lines.join('\n') + started.errors), []);
      const told = new Set(started.errors.split('\n').map((line) => /^- (\w+): /.exec(line)?.[1]));
      assert.deepEqual(
        names.filter((name) => !told.has(name)),
        [],
      );
    });

    it('with settings that have the right form is not quoted', async () => {
      const canaries = createCanaries();
      const [shared, own, other] = ['shared key', 'key of a backend', 'id'].map((label) => canaries.plant(label));
      const started = runProcess({
        BACKEND_1_URL: `https://someone:${own}@one.openai.azure.com`,
        BACKEND_2_URL: `https://two.openai.azure.com/?api-key=${own}`,
        BACKEND_3_URL: 'https://three.openai.azure.com',
        BACKEND_3_APIKEY: own ?? '',
        BACKEND_4_URL: `ftp://${own}.example`,
        CLIENT_API_KEYS: `a=${shared},b=${own}`,
        OPERATOR_KEYS: `c=${shared}`,
        ENTRA_TENANT_ID: '11111111-2222-3333-4444-555555555555',
        ENTRA_ISSUERS: `https://${other}.example/`,
        ENTRA_JWKS_URL: `https://someone:${other}@keys.example/`,
      });
      assert.deepEqual(await started.exited, { code: 1, signal: null });
      assert.deepEqual(canaries.leaksIn(started.lines.join('\n') + started.errors), []);
      assert.match(started.errors, /BACKEND_1_URL[^]*BACKEND_2_URL[^]*BACKEND_4_URL/);
    });

    it('with the keys that tokens are signed with is not quoted', async () => {
      const canaries = createCanaries();
      const documents = [canaries.plant('document', '<html>'), `{"keys":"${canaries.plant('document')}"}`];
      await Promise.all(
        documents.map(async (document) => {
          const issuer = await startTokenIssuer();
          closing.push(() => issuer.close());
          issuer.answerWith(document);
          const env = { BACKEND_1_URL: 'http://127.0.0.1:9', BACKEND_1_APIKEY: 'x', ...issuer.env };
          const started = await startProcess(env);
          const token = canaries.know('token', await issuer.token({}));
          const received = await send(`${started.url}/v1/models`, { headers: { 'api-key': token } });
          assert.equal(errorOf(received).code, 'token_keys_unavailable');
          await started.line(/signing keys/);
          await started.line(/token_keys_unavailable/);
          await assertSilent(canaries, started, received);
        }),
      );
    });

    it('with the token of the identity is not quoted, whatever it breaks', async () => {
      const canaries = createCanaries();
      const header = canaries.plant('secret of the identity endpoint');
      const tokens = [`${canaries.plant('token', '\u0001')}\n`, canaries.plant('token', '\u{1f426}')];
      await Promise.all(
        tokens.map(async (token) => {
          const identity = await startIdentityEndpoint({ token });
          closing.push(() => identity.close());
          const env = { ...identity.env, IDENTITY_HEADER: header, BACKEND_1_URL: 'http://127.0.0.1:9' };
          const started = await startProcess(env);
          const received = await send(`${started.url}/v1/chat/completions`, { body: chat() });
          assert.ok(received.status >= 500, received.body.toString());
          await started.line(/ failed on a bug|identity_unavailable/);
          await assertSilent(canaries, started, received);
          assert.equal(identity.requests[0]?.secret, header);
        }),
      );
    });
  });

  describe('is searched for so that it is found', () => {
    const canaries = createCanaries();
    const secret = canaries.plant('secret', ' "\n\u00e9/+');
    const allowed = canaries.plant('allowed');
    const base64 = (before: string): string => Buffer.from(`${before}${secret}`).toString('base64');
    for (const [form, text] of [
      ['as it is', secret],
      ['as it is, in a line', `POST /v1/x?key=${secret}&y=z 200`],
      ['in capitals', secret.toUpperCase()],
      ['a dozen letters of its beginning', `…${secret.slice(0, 12)}…`],
      ['a dozen letters of its end', secret.slice(-12)],
      ['reversed', Array.from(secret).toReversed().join('')],
      ['URL-encoded', encodeURIComponent(secret).slice(10, -10)],
      ['as JSON', JSON.stringify({ secret }).slice(20, -10)],
      ['as latin1', Buffer.from(secret).toString('latin1').slice(14, -14)],
      ['hex', Buffer.from(secret).toString('hex').slice(9, -9)],
      ['base64', base64('')],
      ['base64, one byte on', base64('x')],
      ['base64, two bytes on, in a longer one', base64('user:').slice(12, -12)],
      ['base64url', Buffer.from(`alice:${secret}`).toString('base64url').slice(16, 40)],
    ] as const) {
      it(form, () => {
        const leaks = canaries.leaksIn(`a line with ${text} and ${allowed}`, ['allowed']);
        assert.ok(
          leaks.some((leak) => leak.startsWith('secret (')),
          text,
        );
        assert.ok(canaries.leaksIn(`${text} ${allowed}`).some((leak) => leak.startsWith('allowed (')));
      });
    }

    it('and nothing is found where nothing is', () => {
      assert.deepEqual(
        canaries.leaksIn(`a line with ${secret.slice(0, 11)} and ${secret.slice(-11)}, but no more`),
        [],
      );
      assert.deepEqual(canaries.leaksIn(createCanaries().plant('another')), []);
      assert.deepEqual(canaries.leaksIn(''), []);
    });
  });
});

/** Ends the process; neither its output nor this answer has a secret in it. */
async function assertSilent(canaries: Canaries, started: RunningProcess, received: Received): Promise<void> {
  started.signal('SIGINT');
  assert.deepEqual(await started.exited, { code: 0, signal: null });
  const all = [...started.lines, started.errors, ...received.rawHeaders, received.body.toString()].join('\n');
  assert.deepEqual(canaries.leaksIn(all), [], all);
}
