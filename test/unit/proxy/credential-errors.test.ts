import assert from 'node:assert/strict';
import type { TokenProblem } from '../../../app/src/auth/entra-tokens.ts';
import { credentialError, nameOf } from '../../../app/src/proxy/credential-errors.ts';
import { ERROR_CODES, type ErrorCode } from '../../../app/src/proxy/proxy-error.ts';
import { APP, AUDIENCE, FOREIGN_TENANT, OTHER_TENANT, TENANT } from '../../support/tokens.ts';

const TENANTS = [TENANT, OTHER_TENANT];
const AUDIENCES = [AUDIENCE, 'https://ai.azure.com'];
const NOON = Date.UTC(2026, 5, 1, 12);
const HOSTILE = 'https://sts.windows.net/\r\nx: y\u001b[31m\u0000\u2028ключ/';

const issuer = (sent: string): TokenProblem => ({ why: 'issuer', sent, expected: TENANTS });
const audience = (sent: string): TokenProblem => ({ why: 'audience', sent, expected: AUDIENCES });

const PROBLEMS: readonly (readonly [problem: TokenProblem, code: ErrorCode, says: RegExp])[] = [
  [{ why: 'not-accepted' }, 'token_not_accepted', /no tokens are accepted here.*ENTRA_TENANT_ID/],
  [{ why: 'malformed' }, 'token_malformed', /not a complete access token.*Get a new one\.$/],
  [{ why: 'algorithm' }, 'token_signature_invalid', /not signed with RS256/],
  [{ why: 'signature' }, 'token_signature_invalid', /not by a key that its issuer publishes/],
  [{ why: 'keys-unavailable' }, 'token_keys_unavailable', /cannot be checked now.*Try again in a moment\.$/],
  [
    issuer(`https://sts.windows.net/${FOREIGN_TENANT}/`),
    'token_wrong_tenant',
    new RegExp(`It is of tenant ${FOREIGN_TENANT}; accepted are tokens of tenant ${TENANTS.join(', ')}\\..*az login`),
  ],
  [
    issuer(`https://login.microsoftonline.us/${TENANT.toUpperCase()}/v2.0`),
    'token_wrong_tenant',
    /of the issuer https:\/\/login\.microsoftonline\.us\/.*, which is not one.*ENTRA_ISSUERS and ENTRA_JWKS_URL/,
  ],
  [
    issuer(`https://x\r\n\u001b[31m/${TENANT}/`),
    'token_wrong_tenant',
    /of the issuer https:\/\/x\?\?\?\[31m\/.*, which is not one/,
  ],
  [issuer(''), 'token_wrong_tenant', /It is of no issuer; accepted are/],
  [issuer('https://accounts.example'), 'token_wrong_tenant', /of the issuer https:\/\/accounts\.example; accepted are/],
  [issuer(HOSTILE), 'token_wrong_tenant', /of the issuer https:\/\/sts\.windows\.net\/\?\?x: y\?\[31m\?\?\?\?\?\?\/;/],
  [
    audience('https://graph.microsoft.com'),
    'token_wrong_audience',
    /for the audience https:\/\/graph\.microsoft\.com; accepted is https:\/\/cognitiveservices\.azure\.com or https:\/\/ai\.azure\.com\. .*scope https:\/\/cognitiveservices\.azure\.com\/\.default\.$/,
  ],
  [audience(''), 'token_wrong_audience', /It is for no audience; accepted is/],
  [audience(HOSTILE), 'token_wrong_audience', /for the audience https:\/\/sts\.windows\.net\/\?\?x: y\?\[31m/],
  [audience('x'.repeat(20_000)), 'token_wrong_audience', /for the audience x{100}…; accepted/],
  [
    { why: 'expired', at: NOON - 90_000, now: NOON },
    'token_expired',
    /expired at 2026-06-01T11:58:30\.000Z; here it is 2026-06-01T12:00:00\.000Z\. Get a new one/,
  ],
  [{ why: 'expired', at: Number.NEGATIVE_INFINITY, now: NOON }, 'token_expired', /expired at no time at all; here/],
  [
    { why: 'early', at: NOON + 90_000, now: NOON },
    'token_not_yet_valid',
    /good from 2026-06-01T12:01:30\.000Z on; here/,
  ],
  [{ why: 'early', at: 1e300, now: NOON }, 'token_not_yet_valid', /good from no time at all on; here/],
];

describe('credential errors: tokens', () => {
  for (const [problem, code, says] of PROBLEMS) {
    const sent = 'sent' in problem ? `: ${JSON.stringify(problem.sent).slice(0, 60)}` : '';
    it(`tell of ${problem.why}${sent}`, () => {
      const error = credentialError({ kind: 'token', problem });
      assert.equal(error.code, code);
      assert.match(error.message, says);
      assert.match(error.message, /^[\x20-\x7e…]+$/);
      assert.ok(error.message.length < 600);
      const { status } = ERROR_CODES[error.code];
      assert.deepEqual(
        error.headers,
        status === 401 ? { 'www-authenticate': 'Bearer error="invalid_token"' } : { 'retry-after': '5' },
      );
    });
  }
});

describe('credential errors: the rest', () => {
  for (const [kind, code, headers] of [
    ['missing', 'missing_credential', { 'www-authenticate': 'Bearer' }],
    ['unknown', 'unknown_credential', { 'www-authenticate': 'Bearer' }],
    ['not-local', 'host_not_local', undefined],
  ] as const) {
    it(`tell of ${kind}`, () => {
      const error = credentialError({ kind });
      assert.deepEqual([error.code, error.headers], [code, headers]);
      assert.match(error.message, /CLIENT_API_KEYS/);
      assert.equal(nameOf({ kind }), '');
    });
  }

  it('tell somebody who is not on the list who they are, and the log too', () => {
    const refused = { kind: 'not-allowed', name: APP } as const;
    const error = credentialError(refused);
    assert.equal(error.code, 'client_not_allowed');
    assert.equal(error.headers, undefined);
    assert.match(
      error.message,
      new RegExp(`The token is good, but ${APP} may not call here\\..*ENTRA_ALLOWED_CLIENTS`),
    );
    assert.equal(nameOf(refused), APP);
  });
});
