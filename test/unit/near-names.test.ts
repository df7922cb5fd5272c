import assert from 'node:assert/strict';
import { meantBy } from '../../app/src/near-names.ts';
import { SETTINGS } from '../../app/src/settings.ts';

describe('near names', () => {
  for (const [name, meant] of [
    ['CLIENT_LIMTS', 'CLIENT_LIMITS'],
    ['CLIENTS_LIMITS', 'CLIENT_LIMITS'],
    ['CLIENT_APIKEYS', 'CLIENT_API_KEYS'],
    ['client_api_keys', 'CLIENT_API_KEYS'],
    ['MAX_CONCURENT_REQUESTS', 'MAX_CONCURRENT_REQUESTS'],
    ['ALLOW_ANONYMUS', 'ALLOW_ANONYMOUS'],
    ['HTTP_TIMEOUT_SECOND', 'HTTP_TIMEOUT_SECONDS'],
    ['OPERATORS_KEYS', 'OPERATOR_KEYS'],
  ] as const) {
    it(`take ${name} for ${meant}`, () => assert.equal(meantBy(name, SETTINGS), meant));
  }

  it('take no setting for another one, nor what others call theirs', () => {
    for (const name of SETTINGS) assert.equal(meantBy(name, SETTINGS), undefined, name);
    for (const name of [
      'PATH',
      'HOME',
      'POST',
      'PORTS',
      'HOSTS',
      'host',
      'port',
      'AZURE_TENANT_ID',
      'AZURE_CLIENT_SECRET',
      'LOG_LEVEL',
      '',
    ]) {
      assert.equal(meantBy(name, SETTINGS), undefined, name);
    }
  });
});
