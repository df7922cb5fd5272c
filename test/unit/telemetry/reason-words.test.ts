import assert from 'node:assert/strict';
import { adviceOn } from '../../../app/src/telemetry/reason-words.ts';

describe('advice on why a backend cannot be reached', () => {
  const advice: readonly (readonly [string, RegExp])[] = [
    ['ENOTFOUND', /BACKEND_n_URL/],
    ['ECONNREFUSED', /port of its BACKEND_n_URL/],
    ['CONNECT_TIMEOUT', /firewalls/],
    ['EPROTO', /https where it must be http$/],
    ['ECONNRESET', /http where it must be https$/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /another name/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /NODE_EXTRA_CA_CERTS/],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', /NODE_EXTRA_CA_CERTS/],
  ];
  for (const [reason, pattern] of advice) {
    it(`says what to look at for ${reason}`, () => {
      assert.match(adviceOn(reason) ?? '', pattern);
    });
  }

  it('is silent on what speaks for itself', () => {
    assert.deepEqual(
      [adviceOn('503'), adviceOn('header-timeout'), adviceOn(undefined)],
      [undefined, undefined, undefined],
    );
  });
});
