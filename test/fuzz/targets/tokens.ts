import assert from 'node:assert/strict';
import { createEntraTokens, type EntraTokens, type Verdict } from '../../../app/src/auth/entra-tokens.ts';
import { credentialError } from '../../../app/src/proxy/credential-errors.ts';
import {
  APP,
  AUDIENCE,
  documentOf,
  headerFor,
  MADE_AT_MS,
  makeToken,
  OBJECT,
  PERSON,
  rs256,
  segment,
  signingKey,
  TENANT,
  tokenBy,
  v1Claims,
  v2Claims,
} from '../../support/tokens.ts';
import { bytesOf, isRecord, parsedJson, type Target, wordsOf } from '../target.ts';

const OURS = signingKey('ours');
const THEIRS = signingKey('theirs');
const KEYS_URL = 'https://login.example/keys';
const TRUST = {
  issuers: [
    { issuer: `https://sts.windows.net/${TENANT}/`, tenantId: TENANT, keysUrl: KEYS_URL },
    { issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`, tenantId: TENANT, keysUrl: KEYS_URL },
  ],
  audiences: [AUDIENCE],
};

function tokensWith(document: string): EntraTokens {
  return createEntraTokens({
    trust: TRUST,
    fetchDocument: () => Promise.resolve(document),
    clock: () => 1_000_000,
    wallClockMs: () => MADE_AT_MS + 1000,
    onKeysChange: () => undefined,
    mostRemembered: 10,
  });
}

const GOOD = [tokenBy(OURS, v1Claims()), tokenBy(OURS, v2Claims(PERSON)), tokenBy(OURS, v2Claims({ nbf: undefined }))];
/** What of a token is signed. */
const SIGNED: ReadonlySet<string> = new Set(GOOD.map((token) => token.slice(0, token.lastIndexOf('.'))));
const tokens = tokensWith(documentOf(OURS.jwk));

export const entraTokens: Target = {
  name: 'tokens',
  property:
    'a token is accepted only when every byte that is signed is one that we signed; what its sender is told is printable and is not the token',
  samples: bytesOf(
    ...GOOD,
    tokenBy(THEIRS, v1Claims()),
    makeToken({ header: headerFor(OURS, { alg: 'none' }), payload: v1Claims(), sign: () => Buffer.alloc(0) }),
    makeToken({ header: headerFor(OURS, { alg: 'HS256' }), payload: v1Claims(), sign: () => Buffer.alloc(32) }),
    makeToken({ header: headerFor(OURS, { crit: ['x'], x: 1, b64: false }), payload: v1Claims(), sign: rs256(OURS) }),
    tokenBy(OURS, v1Claims({ aud: ['a', 'b'], exp: 1, tid: 5 })),
  ),
  words: [
    ...wordsOf('.¦..¦=¦-¦_¦+¦/¦eyJ¦A'),
    ...bytesOf(
      segment({ alg: 'RS256', kid: 'ours' }),
      segment({ alg: 'none' }),
      segment(v1Claims({ iss: 'https://evil.example/' })),
      segment(v1Claims({ aud: 'x\u202E\n', exp: 1e308 })),
      segment('{"iss":1}'),
      segment('null'),
      segment('[]'),
      segment('{"alg":"RS256","kid":"ours","alg":"none"}'),
      segment(v1Claims({ exp: 'never' })),
    ),
  ],
  share: 0.1,
  async check(bytes, chance) {
    let token = bytes.toString('latin1');
    // Half of them rightly signed, whatever they say.
    if (chance.oneIn(2)) {
      const input = token.split('.').slice(0, 2).join('.');
      token = `${input}.${rs256(chance.pick([OURS, THEIRS]))(input).toString('base64url')}`;
    }
    const verdict = await tokens.verify(token);
    assert.deepEqual(await tokens.verify(token), verdict);
    if (verdict.kind === 'refused') return checkRefusal(verdict, token);
    const { applicationId, objectId } = verdict.identity;
    const signed = token.slice(0, token.lastIndexOf('.'));
    if (!SIGNED.has(signed)) {
      // Ours by our key: then the claims are those that count.
      const payload = parsedJson(Buffer.from(signed.split('.')[1] ?? '', 'base64url'))?.value;
      assert.ok(isRecord(payload));
      assert.equal(payload['tid'], TENANT);
      assert.ok([payload['aud']].flat().some((name) => name === AUDIENCE || name === `${AUDIENCE}/`));
      assert.ok(TRUST.issuers.some(({ issuer }) => issuer === payload['iss']));
      return 'verified, signed here';
    }
    assert.equal(applicationId, APP);
    assert.equal(objectId, OBJECT);
    return 'verified';
  },
};

function checkRefusal(verdict: Extract<Verdict, { kind: 'refused' }>, token: string): string {
  const { code, message, headers = {} } = credentialError({ kind: 'token', problem: verdict.problem });
  for (const text of [message, ...Object.values(headers)]) {
    assert.match(text.replaceAll('…', ''), /^[\x20-\x7e]*$/);
    assert.ok(token.length < 20 || !text.includes(token));
    assert.ok(text.length < 1000);
  }
  return code;
}

const NOW = (MADE_AT_MS + 1000) / 1000;
const SKEW = 60;
const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A header and a payload as they are written, on a line each. */
function lines(payload: unknown, header: unknown = headerFor(OURS)): string {
  return `${JSON.stringify(header)}\n${JSON.stringify(payload)}`;
}

export const claims: Target = {
  name: 'claims of tokens',
  property:
    'a token is accepted exactly when our key has signed it with RS256, and its issuer, tenant, audience, times and application are right; what its sender is told is printable',
  samples: bytesOf(
    lines(v1Claims()),
    lines(v2Claims(PERSON)),
    lines(v2Claims({ aud: ['x', `${AUDIENCE}/`], nbf: undefined, exp: NOW + 0.5 })),
    lines(v1Claims({ aud: 'https://graph.microsoft.com' })),
    lines(v1Claims({ aud: 'ö\u202E\n'.repeat(60), tid: APP })),
    lines(v1Claims({ exp: NOW - SKEW + 1, nbf: NOW + SKEW - 1 })),
    lines(v1Claims({ exp: NOW - SKEW })),
    lines(v1Claims({ exp: 1 })).replace('"exp":1', '"exp":1e400'),
    lines(v2Claims({ iss: `https://evil.example/${TENANT}/v2.0` })),
    lines(v1Claims(), headerFor(OURS, { kid: 'theirs', crit: ['exp'] })),
    lines(v1Claims({ appid: undefined }), headerFor(OURS, { alg: 'PS256' })),
  ),
  words: [
    ...wordsOf(
      '{¦}¦"¦:¦,¦[¦]¦null¦\n¦\\u0061¦"alg":"none"¦"alg":"RS256"¦"kid":"ours"¦"kid":"theirs"¦"crit":["b64"],"b64":false¦"exp":1',
      '"exp":1e400¦"exp":"1"¦"nbf":9e15¦"aud":"x"¦"aud":[]¦"tid":5¦"iss":""¦"azp":""¦"jwk":{}¦"jku":"https://evil.example"¦\u202E¦\u0000',
    ),
    ...bytesOf(
      `"aud":"${AUDIENCE}",`,
      `"tid":"${TENANT}",`,
      `"appid":"${APP}",`,
      `"exp":${NOW - SKEW},`,
      `"nbf":${NOW + SKEW + 1},`,
    ),
  ],
  share: 0.1,
  async check(bytes, chance) {
    const [header = '', payload = ''] = bytes.toString('utf8').split('\n');
    const isOurs = !chance.oneIn(5);
    const token = makeToken({ header, payload, sign: rs256(isOurs ? OURS : THEIRS) });
    const verdict = await tokens.verify(token);
    const isRight =
      isOurs &&
      isRightHeader(parsedJson(Buffer.from(header))?.value) &&
      areRight(parsedJson(Buffer.from(payload))?.value);
    const isWritten = !bytes.includes('\uFEFF');
    if (isWritten) assert.equal(verdict.kind === 'verified', isRight, JSON.stringify(verdict));
    else assert.ok(verdict.kind === 'refused' || isRight);
    return verdict.kind === 'refused' ? checkRefusal(verdict, token) : 'verified';
  },
};

function isRightHeader(header: unknown): boolean {
  return isRecord(header) && header['alg'] === 'RS256' && header['kid'] === OURS.kid && header['crit'] === undefined;
}

function areRight(payload: unknown): boolean {
  if (!isRecord(payload)) return false;
  const { aud, iss, tid, exp, nbf, azp, appid, iat } = payload;
  const isFor =
    typeof aud === 'string' ? isOurAudience(aud) : Array.isArray(aud) && aud.some((name) => isOurAudience(name));
  const isOf =
    TRUST.issuers.some(({ issuer }) => issuer === iss) && typeof tid === 'string' && tid.toLowerCase() === TENANT;
  const isNow = isTime(exp) && NOW < exp + SKEW && (nbf === undefined || (isTime(nbf) && nbf <= NOW + SKEW));
  const isBy = [azp, appid].some((id) => typeof id === 'string' && GUID.test(id));
  return isFor && isOf && isNow && isBy && (iat === undefined || typeof iat === 'number');
}

function isOurAudience(name: unknown): boolean {
  return name === AUDIENCE || name === `${AUDIENCE}/`;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

const [good = ''] = GOOD;

export const keyDocuments: Target = {
  name: 'key documents',
  property:
    'a key that the document publishes for signing is used, whatever else stands in it; without it no token is accepted, and a document that is none is told as such',
  samples: bytesOf(
    documentOf(OURS.jwk),
    documentOf(THEIRS.jwk, { ...OURS.jwk, alg: 'RS256', issuer: `https://login.microsoftonline.com/{tenantid}/v2.0` }),
    documentOf({ kty: 'EC', kid: 'x', crv: 'P-256', x: 'AA', y: 'AA' }, OURS.jwk, { kty: 'oct', k: 'AA' }, null, 5),
    documentOf({ kty: 'RSA', kid: 'broken', n: 'AQAB', e: '' }, { ...OURS.jwk, use: 'sig', x5c: ['AA'] }),
  ),
  words: [
    ...wordsOf(
      '{"keys":[¦]}¦{¦}¦,¦"¦"kty":"RSA"¦"use":"enc"¦"kid":"ours"¦"e":"AQ"¦"e":""¦"n":""¦"alg":"HS256"',
      '"d":"AA"¦"issuer":"https://x"¦null¦[]¦{"kty":"RSA","kid":"z","n":"A","e":"A"},',
      '{"kty":"RSA","kid":"ours","n":"AQAB","e":"AQAB"},¦"e":"AAEAAQ"¦"kid":5¦=¦==¦-¦_¦+¦/',
    ),
    ...bytesOf(`${JSON.stringify(OURS.jwk)},`),
  ],
  share: 0.1,
  async check(bytes) {
    const verdict = await tokensWith(bytes.toString('utf8')).verify(good);
    const why = verdict.kind === 'refused' ? verdict.problem.why : 'verified';
    const parsed = parsedJson(bytes)?.value;
    const listed =
      isRecord(parsed) && Array.isArray(parsed['keys']) ? parsed['keys'].filter((key) => isRecord(key)) : undefined;
    if (listed === undefined || bytes.includes('\uFEFF')) {
      if (listed === undefined) assert.equal(why, 'keys-unavailable');
      return why;
    }
    const named = listed.filter((key) => key['kid'] === OURS.kid);
    const isPublished = named.some((key) => sameBytes(key['n'], OURS.jwk.n) && sameBytes(key['e'], OURS.jwk.e));
    if (!isPublished) assert.ok(why === 'signature' || why === 'keys-unavailable', why);
    // Of several under one id one counts; of one alone it is known which.
    const [only] = named;
    const isPlain =
      only !== undefined && named.length === 1 && MATTERING.every((name) => only[name] === PLAIN.get(name));
    if (isPlain) assert.equal(why, 'verified');
    return `${why} of ${Math.min(3, listed.length)}`;
  },
};

const PLAIN: ReadonlyMap<string, unknown> = new Map(Object.entries(OURS.jwk));
/** Everything else is of no interest. */
const MATTERING = ['kty', 'use', 'alg', 'n', 'e', 'issuer', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

/** Base64 says the same in more ways than one. */
function sameBytes(text: unknown, expected: string): boolean {
  return typeof text === 'string' && BigInt(`0x0${hexOf(text)}`) === BigInt(`0x0${hexOf(expected)}`);
}

function hexOf(text: string): string {
  return Buffer.from(text, 'base64url').toString('hex');
}
