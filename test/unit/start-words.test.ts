import assert from 'node:assert/strict';
import { readConfig, type Config } from '../../app/src/config.ts';
import { warningsOf, whoMayCall } from '../../app/src/start-words.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const APP = '66666666-7777-8888-9999-aaaaaaaaaaaa';
const LONG_KEY = '0123456789abcdef0123';

function config(env: Readonly<Record<string, string>>): Config {
  return readConfig({ BACKEND_1_URL: 'https://one.openai.azure.com', ...env });
}

describe('who may call, as it is said at start', () => {
  it('names clients and tenants, and no key', () => {
    const keys = config({ CLIENT_API_KEYS: 'team-a=old-key,team-a=new-key,team-b=third-key' });
    assert.equal(whoMayCall(keys), 'Callers need a credential: client keys of team-a, team-b');
    assert.equal(
      whoMayCall(config({ ENTRA_TENANT_ID: TENANT })),
      `Callers need a credential: Microsoft Entra tokens of tenant ${TENANT} for ` +
        'https://cognitiveservices.azure.com or https://ai.azure.com',
    );
    const both = config({
      CLIENT_API_KEYS: 'team-a=key',
      ENTRA_TENANT_ID: TENANT,
      ENTRA_AUDIENCES: 'api://mine',
      ENTRA_ALLOWED_CLIENTS: `chat-app=${APP}`,
    });
    assert.equal(
      whoMayCall(both),
      `Callers need a credential: client keys of team-a; Microsoft Entra tokens of tenant ${TENANT} for api://mine, ` +
        'of chat-app only',
    );
  });

  it('says so when no credential is needed', () => {
    assert.equal(whoMayCall(config({ ALLOW_ANONYMOUS: 'true' })), 'Callers need no credential');
    assert.match(whoMayCall(config({})), /^Callers need no credential, but must be programs of this machine/);
  });
});

describe('warnings at start', () => {
  it('there are none where all is as it should be', () => {
    assert.deepEqual(warningsOf(config({ HOST: '0.0.0.0', CLIENT_API_KEYS: `a=${LONG_KEY}` })), []);
    assert.deepEqual(warningsOf(config({ BACKEND_2_URL: 'http://127.0.0.1:9', CLIENT_API_KEYS: 'a=short' })), []);
  });

  it('are loud about ALLOW_ANONYMOUS, on loopback too', () => {
    for (const HOST of ['127.0.0.1', '0.0.0.0']) {
      const [warning = ''] = warningsOf(config({ HOST, ALLOW_ANONYMOUS: 'true' }));
      assert.match(
        warning,
        /^ALLOW_ANONYMOUS is true: anybody who reaches this port, and every web page .*, spends the quota/,
      );
    }
  });

  it('name a backend that is asked in the clear', () => {
    const [warning = '', ...more] = warningsOf(config({ BACKEND_2_URL: 'http://gateway.internal' }));
    assert.match(warning, /^openai2 is asked over http: /);
    assert.deepEqual(more, []);
  });

  it('name those whose keys can be guessed, where strangers can try', () => {
    const keys = { CLIENT_API_KEYS: `team-a=short,team-b=${LONG_KEY}`, OPERATOR_KEYS: 'alice=tiny' };
    const [warning = ''] = warningsOf(config({ HOST: '0.0.0.0', ...keys }));
    assert.match(warning, /^The keys of team-a, alice are shorter than 20 characters/);
    assert.doesNotMatch(warning, /short\b(?!er)|tiny/);
  });
});
