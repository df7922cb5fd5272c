import assert from 'node:assert/strict';
import { readConfig } from '../../../app/src/config.ts';
import { settingsInForce } from '../../../app/src/ops/settings-in-force.ts';
import { BACKEND_SETTINGS, SETTINGS } from '../../../app/src/settings.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const APP = '99999999-2222-3333-4444-555555555555';
const INSIGHTS_KEY = '12345678-2222-3333-4444-555555555555';
const FULL = {
  BACKEND_1_URL: 'https://one.openai.azure.com',
  BACKEND_1_APIKEY: 'secret-of-one',
  BACKEND_1_CAPACITY: '30',
  BACKEND_1_DEPLOYMENTS: 'chat=gpt-eu',
  BACKEND_2_URL: 'https://two.openai.azure.com',
  BACKEND_2_DEPLOYMENT_NAME: 'only-this',
  CLIENT_API_KEYS: 'team-a=secret-of-a,team-a=newer-secret-of-a,team-b=secret-of-b',
  OPERATOR_KEYS: 'alice=secret-of-alice',
  CLIENT_LIMITS: 'team-a=50000tpm:20concurrent,*=10rpm',
  DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini',
  ENTRA_TENANT_ID: TENANT,
  ENTRA_JWKS_URL: 'https://keys.example/keys',
  ENTRA_ALLOWED_CLIENTS: `chat-app=${APP}`,
  APPLICATIONINSIGHTS_CONNECTION_STRING: `InstrumentationKey=${INSIGHTS_KEY};IngestionEndpoint=https://west.example/`,
};

describe('the settings in force', () => {
  const told = new Map(settingsInForce(readConfig(FULL)).map(({ name, value }) => [name, value]));

  it('tell of keys who has them, and of a backend whether there is one; never a key', () => {
    assert.equal(told.get('CLIENT_API_KEYS'), 'set (2 names: team-a, team-b)');
    assert.equal(told.get('OPERATOR_KEYS'), 'set (for alice)');
    assert.equal(told.get('openai1: APIKEY'), 'set');
    assert.equal(told.get('openai2: APIKEY'), 'not set: asked with a Microsoft Entra token');
    assert.equal(told.get('APPLICATIONINSIGHTS_CONNECTION_STRING'), 'set (https://west.example)');
    assert.doesNotMatch(JSON.stringify([...told]), /secret|12345678/);
  });

  it('tell everything else as it would be written', () => {
    assert.equal(told.get('MAX_HOLD_SECONDS'), '2');
    assert.equal(told.get('CLIENT_LIMITS'), 'team-a=50000tpm:20concurrent, *=10rpm');
    assert.equal(told.get('DEPLOYMENT_ALIASES'), 'chat=gpt-5.4-mini');
    assert.equal(told.get('openai1: CAPACITY'), '30');
    assert.equal(told.get('openai1: DEPLOYMENTS'), 'chat=gpt-eu');
    assert.equal(told.get('openai2: DEPLOYMENT_NAME'), 'only-this');
    assert.equal(told.get('ENTRA_ALLOWED_CLIENTS'), `chat-app=${APP}`);
    assert.equal(told.get('ENTRA_ALLOWED_OPERATORS'), 'not set');
    assert.equal(told.get('FIRST_TOKEN_TIMEOUT_SECONDS'), 'not set');
  });

  it('have every setting that there is', () => {
    // Where keys are fetched is said by the issuers' own names; backends go by theirs, not by a number.
    const missing = SETTINGS.filter((name) => !told.has(name) && name !== 'ENTRA_JWKS_URL');
    assert.deepEqual(missing, []);
    const endings = new Set([...told.keys()].map((name) => name.split(': ')[1]));
    assert.deepEqual(
      BACKEND_SETTINGS.filter((ending) => !endings.has(ending) && ending !== 'NAME'),
      [],
    );
  });
});
