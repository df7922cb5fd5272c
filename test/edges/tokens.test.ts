// Microsoft Entra tokens at the door, over sockets, with a real endpoint for the signing keys: who is let in, and a table of
// forged tokens of which none may be, reach a backend, be repeated in an answer or a log, or have anybody's keys fetched.

import assert from 'node:assert/strict';
import { constants, createHash, createHmac, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { startBalancer, CLIENT_KEY, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { startKeyServer, type KeyServer } from '../support/key-server.ts';
import { manualClock } from '../support/manual-clock.ts';
import { callCounts, credentialsIn } from '../support/observed.ts';
import { codeOf, exchange, head, type RawAnswer } from '../support/raw.ts';
import {
  APP,
  AUDIENCE,
  documentOf,
  FOREIGN_TENANT,
  headerFor,
  MADE_AT,
  MADE_AT_MS,
  makeToken,
  OBJECT,
  OTHER_TENANT,
  PERSON,
  rs256,
  segment,
  signingKey,
  TENANT,
  tokenBy,
  v1Claims,
  v2Claims,
  type Members,
  type Sign,
} from '../support/tokens.ts';

const A = signingKey('key-a');
const B = signingKey('key-b');
const ATTACKER = signingKey('attacker');
const SHORT = signingKey('short', 1024);
/** Published, but not for signatures. */
const ENCRYPTION = signingKey('encryption');
/** Published with its private half. */
const LEAKED = signingKey('leaked');
const PUBLISHED = [
  A.jwk,
  SHORT.jwk,
  { ...ENCRYPTION.jwk, use: 'enc' },
  { ...LEAKED.privateJwk, kid: LEAKED.kid, use: 'sig' },
];

const GOOD = tokenBy(A, v1Claims());

let running: RunningBalancer;
let keys: KeyServer;
/** Where hostile tokens say that their keys are. */
let attacker: KeyServer;

async function start(settings: Readonly<Record<string, string | undefined>> = {}): Promise<void> {
  keys = await startKeyServer();
  keys.publish(PUBLISHED);
  keys.publish([B.jwk], OTHER_TENANT);
  attacker = await startKeyServer(ATTACKER);
  running = await startBalancer({
    backends: 2,
    clock: manualClock(1000).now,
    wallClockMs: manualClock(MADE_AT_MS).now,
    settings: { ENTRA_TENANT_ID: `${TENANT},${OTHER_TENANT}`, ENTRA_JWKS_URL: keys.url, ...settings },
  });
}

async function stop(): Promise<void> {
  await running.close();
  await Promise.all([keys.close(), attacker.close()]);
}

function ask(path: string, ...lines: readonly string[]): Promise<RawAnswer> {
  return exchange(running.port, head(`GET ${path} HTTP/1.1`, 'Host: x', ...lines, 'Connection: close'));
}

/** The headers that carry a credential, one at a time. */
function bothHeaders(token: string): readonly string[] {
  return [`api-key: ${token}`, `Authorization: Bearer ${token}`];
}

function messageOf({ body }: RawAnswer): string {
  const { error }: { error: { message: string } } = JSON.parse(Buffer.from(body, 'latin1').toString());
  return error.message;
}

/** No part of these texts is repeated that is long enough to tell. */
function assertTellsNothing(where: string, told: string, secrets: readonly string[]): void {
  for (const part of secrets.flatMap((secret) => secret.match(/[\w-]{12,}(?![\w-]*:)/g) ?? [])) {
    assert.ok(!told.includes(part), `${where} repeats ${part.slice(0, 40)}…: ${told.slice(0, 300)}`);
  }
}

describe('a token at the door', () => {
  beforeEach(() => start());
  afterEach(stop);

  for (const [what, token, client] of [
    ['of an application, v1', GOOD, APP],
    ['of an application, v2', tokenBy(A, v2Claims()), APP],
    ['of somebody who signed in, v1', tokenBy(A, v1Claims(PERSON)), OBJECT],
    ['of somebody who signed in, v2', tokenBy(A, v2Claims(PERSON)), OBJECT],
    ['for the audience with a slash', tokenBy(A, v1Claims({ aud: `${AUDIENCE}/` })), APP],
    ['for several audiences', tokenBy(A, v1Claims({ aud: ['https://a.example', AUDIENCE] })), APP],
    ['for the audience of the newer endpoint', tokenBy(A, v2Claims({ aud: 'https://ai.azure.com' })), APP],
    [
      'of the other tenant',
      tokenBy(B, v1Claims({ iss: `https://sts.windows.net/${OTHER_TENANT}/`, tid: OTHER_TENANT })),
      APP,
    ],
    ['of 20 KB', tokenBy(A, v1Claims({ groups: 'x'.repeat(15_000) })), APP],
    [
      'whose claims nest 4000 deep',
      tokenBy(A, JSON.stringify(v1Claims({ x: 0 })).replace('"x":0', `"x":${'['.repeat(4000)}${']'.repeat(4000)}`)),
      APP,
    ],
    [
      'that says where its keys are, and need not',
      tokenBy(A, v1Claims(), { jku: 'http://127.0.0.1:1/keys', x5t: A.kid }),
      APP,
    ],
    ['without a type', tokenBy(A, v1Claims(), { typ: undefined }), APP],
    ['with the type of RFC 9068', tokenBy(A, v1Claims(), { typ: 'at+jwt' }), APP],
    [
      'with claims that are there twice, of which the last counts',
      tokenBy(A, JSON.stringify(v1Claims()).replace('{', '{"aud":"https://a.example","iss":"x",')),
      APP,
    ],
  ] as const) {
    it(`opens it in either header: ${what}`, async () => {
      for (const [index, line] of bothHeaders(token).entries()) {
        const before = running.log.length;
        const answer = await ask('/v1/models', line);
        assert.equal(answer.status, 200, answer.body);
        const finished = await running.event('request-finished', index === 0 ? 0 : running.events.length - 1);
        assert.deepEqual([finished.client, finished.status, finished.backend], [client, 200, 'openai1']);
        assert.ok(
          running.log.slice(before).some((text) => text.startsWith('GET ') && text.includes(` client=${client} `)),
        );
      }
      const [first, second] = running.resources.map(({ calls }) => calls);
      assert.deepEqual(second, []);
      assert.equal(first?.length, 2);
      for (const call of first ?? []) {
        assert.deepEqual(credentialsIn(call), ['api-key', 'key-1']);
        assertTellsNothing('the backend’s request', JSON.stringify([call.path, call.rawHeaders]), [token]);
      }
      assertTellsNothing('the log', running.log.join(''), [token]);
      assertTellsNothing('an event', JSON.stringify(running.events), [token]);
      assert.deepEqual(keys.requests.toSorted(), [`/${TENANT}/keys`, `/${OTHER_TENANT}/keys`].toSorted());
      assert.deepEqual(attacker.requests, []);
      running.assertIdle();
    });
  }

  it('opens it for a body too, which goes to the backend with its credential alone', async () => {
    const body = chat();
    const lines = [`Authorization: Bearer ${GOOD}`, 'Content-Type: application/json', `Content-Length: ${body.length}`];
    const request = head('POST /v1/chat/completions HTTP/1.1', 'Host: x', ...lines, 'Connection: close') + body;
    const answer = await exchange(running.port, request);
    assert.equal(answer.status, 200);
    const [call] = running.resources[0]?.calls ?? [];
    assert.ok(call !== undefined);
    assert.equal(call.body.toString(), body);
    assert.deepEqual(credentialsIn(call), ['api-key', 'key-1']);
    running.assertIdle();
  });

  it('opens it beside a credential that does not count, in either place', async () => {
    const bad = tokenBy(ATTACKER, v1Claims(), { kid: A.kid });
    for (const other of ['placeholder', bad, tokenBy(A, v1Claims({ exp: MADE_AT - 3600 }))]) {
      assert.equal((await ask('/v1/models', `api-key: ${GOOD}`, `Authorization: Bearer ${other}`)).status, 200);
      assert.equal((await ask('/v1/models', `api-key: ${other}`, `Authorization: Bearer ${GOOD}`)).status, 200);
      assert.equal((await ask('/v1/models', `api-key: ${CLIENT_KEY}`, `Authorization: Bearer ${other}`)).status, 200);
    }
    const clients = running.events.flatMap((event) => (event.kind === 'request-finished' ? [event.client] : []));
    assert.deepEqual(clients, [APP, APP, 'tester', APP, APP, 'tester', APP, APP, 'tester']);
  });
});

describe('a token at the door, and the settings', () => {
  afterEach(stop);

  it('has the name that ENTRA_ALLOWED_CLIENTS gives to the application or the object', async () => {
    await start({ ENTRA_ALLOWED_CLIENTS: `chat-app=${APP.toUpperCase()}` });
    assert.equal((await ask('/v1/models', `api-key: ${GOOD}`)).status, 200);
    assert.equal((await ask('/v1/models', `api-key: ${tokenBy(A, v2Claims(PERSON))}`)).status, 200);
    const finished = running.events.filter((event) => event.kind === 'request-finished');
    assert.deepEqual(
      finished.map(({ client }) => client),
      ['chat-app', 'chat-app'],
    );
  });

  it('is 403 client_not_allowed when nobody on the list has it, who is told and logged by their id', async () => {
    await start({ ENTRA_ALLOWED_CLIENTS: '99999999-0000-4000-8000-000000000000' });
    for (const [token, id] of [
      [GOOD, APP],
      [tokenBy(A, v2Claims(PERSON)), OBJECT],
    ] as const) {
      const from = running.events.length;
      const answer = await ask('/v1/models', `api-key: ${token}`);
      assert.deepEqual([answer.status, codeOf(answer)], [403, 'client_not_allowed']);
      assert.match(messageOf(answer), new RegExp(`The token is good, but ${id} may not call here`));
      assert.equal(answer.headers['www-authenticate'], undefined);
      assert.equal((await running.event('request-finished', from)).client, id);
      assert.match(running.log.at(-1) ?? '', new RegExp(`client_not_allowed.* client=${id} `));
      assertTellsNothing('the answer', answer.head + answer.body, [token]);
      assertTellsNothing('the log', running.log.join(''), [token]);
    }
    assert.equal((await ask('/v1/models', `api-key: ${CLIENT_KEY}`)).status, 200);
    assert.deepEqual(callCounts(running), [1, 0]);
  });

  it('needs no client keys, and then no key opens the door', async () => {
    await start({ CLIENT_API_KEYS: undefined });
    assert.equal((await ask('/v1/models', `api-key: ${GOOD}`)).status, 200);
    assert.equal(codeOf(await ask('/v1/models', `api-key: ${CLIENT_KEY}`)), 'unknown_credential');
    assert.equal(codeOf(await ask('/v1/models')), 'missing_credential');
    assert.deepEqual(callCounts(running), [1, 0]);
  });

  it('is 401 token_not_accepted without a tenant, and nobody’s keys are fetched', async () => {
    await start({ ENTRA_TENANT_ID: undefined, ENTRA_JWKS_URL: undefined });
    for (const line of bothHeaders(GOOD)) {
      const answer = await ask('/v1/models', line);
      assert.deepEqual([answer.status, codeOf(answer)], [401, 'token_not_accepted']);
      assertTellsNothing('the answer', answer.head + answer.body, [GOOD]);
    }
    assertTellsNothing('the log', running.log.join(''), [GOOD]);
    assert.deepEqual(callCounts(running), [0, 0]);
    assert.deepEqual(keys.requests, []);
  });

  it('is of another cloud where the settings say so, and of the public one no more', async () => {
    const issuer = `https://login.microsoftonline.us/${TENANT}/v2.0`;
    await start({
      ENTRA_TENANT_ID: TENANT,
      ENTRA_ISSUERS: issuer,
      ENTRA_AUDIENCES: 'https://cognitiveservices.azure.us/',
    });
    const claims = v2Claims({ iss: issuer, aud: 'https://cognitiveservices.azure.us' });
    assert.equal((await ask('/v1/models', `api-key: ${tokenBy(A, claims)}`)).status, 200);
    assert.equal(codeOf(await ask('/v1/models', `api-key: ${GOOD}`)), 'token_wrong_tenant');
    assert.equal(
      codeOf(await ask('/v1/models', `api-key: ${tokenBy(A, { ...claims, aud: AUDIENCE })}`)),
      'token_wrong_audience',
    );
  });

  describe('of an operator', () => {
    const basic = (token: string): string => `Authorization: Basic ${Buffer.from(`x:${token}`).toString('base64')}`;

    it('reads /status when ENTRA_ALLOWED_OPERATORS has it, as the password of a browser too', async () => {
      await start({ ENTRA_ALLOWED_OPERATORS: `alice=${OBJECT}` });
      for (const line of [...bothHeaders(GOOD), basic(GOOD)]) {
        assert.equal((await ask('/status', line)).status, 200);
      }
      for (const line of [...bothHeaders(`${GOOD}x`), basic(`${GOOD}x`)]) {
        const answer = await ask('/status', line);
        assert.deepEqual([answer.status, codeOf(answer)], [401, 'token_signature_invalid']);
        assertTellsNothing('the answer', answer.head + answer.body, [GOOD]);
      }
    });

    it('does not read /status by being a client’s', async () => {
      await start({ ENTRA_ALLOWED_CLIENTS: APP });
      assert.equal((await ask('/v1/models', `api-key: ${GOOD}`)).status, 200);
      for (const line of [...bothHeaders(GOOD), basic(GOOD)]) {
        const answer = await ask('/status', line);
        assert.deepEqual([answer.status, codeOf(answer)], [401, 'operator_credential_needed']);
      }
    });

    it('is not let in as a client by being an operator’s', async () => {
      await start({ ENTRA_ALLOWED_CLIENTS: 'x=99999999-0000-4000-8000-000000000000', ENTRA_ALLOWED_OPERATORS: APP });
      assert.equal((await ask('/status', `api-key: ${GOOD}`)).status, 200);
      assert.equal(codeOf(await ask('/v1/models', `api-key: ${GOOD}`)), 'client_not_allowed');
      assert.deepEqual(callCounts(running), [0, 0]);
    });
  });
});

interface Hostile {
  readonly name: string;
  readonly code: string;
  /** 401 unless it says otherwise. */
  readonly status?: number;
  /** Sent in api-key, and then as Bearer. Made when the servers run. */
  readonly token?: () => string;
  /** Sent as these header lines instead. */
  readonly lines?: () => readonly string[];
  /** What the message must say. */
  readonly says?: RegExp;
}

const SIGNATURE = 'token_signature_invalid';
const MALFORMED = 'token_malformed';
const AUDIENCE_CODE = 'token_wrong_audience';
const TENANT_CODE = 'token_wrong_tenant';
const EXPIRED = 'token_expired';
const UNKNOWN = 'unknown_credential';

const nothing: Sign = () => Buffer.alloc(0);
const hmac =
  (hash: string, key: string | Buffer): Sign =>
  (input) =>
    createHmac(hash, key).update(input).digest();
const rsaWith =
  (hash: string): Sign =>
  (input) =>
    signBytes(hash, Buffer.from(input), A.privateKey);
const ps256: Sign = (input) =>
  signBytes('sha256', Buffer.from(input), {
    key: A.privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  });

/** Of other kinds than the tenant's; both are the attacker's. */
const CURVE = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const EDWARDS = generateKeyPairSync('ed25519');
const PEM = A.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const SPKI = A.publicKey.export({ type: 'spki', format: 'der' });
const PKCS1 = A.publicKey.export({ type: 'pkcs1', format: 'pem' }).toString();

function by(alg: unknown, sign: Sign, header: Members = {}, payload: unknown = v1Claims()): () => string {
  return () => makeToken({ header: headerFor(A, { alg, ...header }), payload, sign });
}

/** Rightly signed. */
function claiming(claims: Members, header: Members = {}): () => string {
  return () => tokenBy(A, v1Claims(claims), header);
}

/** Rightly signed, with the JSON as it is written here. */
function writing(change: (json: string) => string): () => string {
  return () => tokenBy(A, change(JSON.stringify(v1Claims())));
}

/** Signed by the attacker. */
function forged(header: Members | (() => Members)): () => string {
  return () => tokenBy(ATTACKER, v1Claims(), typeof header === 'function' ? header() : header);
}

/** A good token, changed. */
function changed(change: (head: string, payload: string, signature: string) => string): () => string {
  const [first = '', second = '', third = ''] = GOOD.split('.');
  return () => change(first, second, third);
}

function flipped(text: string, at: number): string {
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
}

/** The header as it is written here, signed rightly. */
function withHeader(json: string | Buffer): () => string {
  return () => makeToken({ header: json, payload: v1Claims(), sign: rs256(A) });
}

const SECOND_PART = GOOD.split('.')[1] ?? '';
const ANOTHER = tokenBy(A, v1Claims({ uti: 'another' }));
const CONTROL = 'https://x\r\nSet-Cookie: a=b\u0000\u001b[31m\u007f\u0085\u2028ключ';

const HOSTILE: readonly Hostile[] = [
  // The algorithm.
  ...['none', 'None', 'NONE', 'nOnE'].flatMap((alg): Hostile[] => [
    { name: `alg ${alg}, not signed`, code: SIGNATURE, token: by(alg, nothing), says: /RS256/ },
    { name: `alg ${alg}, with the signature of RS256`, code: SIGNATURE, token: by(alg, rs256(A)) },
  ]),
  { name: 'alg none, without a kid', code: SIGNATURE, token: by('none', nothing, { kid: undefined }) },
  ...Object.entries({
    'the public key as PEM': PEM,
    'the public key as PEM without its last line break': PEM.trim(),
    'the public key as PKCS 1': PKCS1,
    'the public key as DER': SPKI,
    'the public key as JWK': JSON.stringify(A.jwk),
    'the modulus': Buffer.from(A.jwk.n, 'base64url'),
    'the modulus as it is published': A.jwk.n,
    'the key document': documentOf(...PUBLISHED),
    'the key id': A.kid,
    nothing: '',
  }).flatMap(([what, key]): Hostile[] => [
    { name: `HS256 keyed with ${what}`, code: SIGNATURE, token: by('HS256', hmac('sha256', key)) },
    { name: `HS384 keyed with ${what}`, code: SIGNATURE, token: by('HS384', hmac('sha384', key)) },
    { name: `RS256 in name, HS256 keyed with ${what}`, code: SIGNATURE, token: by('RS256', hmac('sha256', key)) },
  ]),
  { name: 'RS384 with the right key', code: SIGNATURE, token: by('RS384', rsaWith('sha384')) },
  { name: 'RS512 with the right key', code: SIGNATURE, token: by('RS512', rsaWith('sha512')) },
  { name: 'RS256 in name, RS512 in truth', code: SIGNATURE, token: by('RS256', rsaWith('sha512')) },
  { name: 'RS256 in name, RS1 in truth', code: SIGNATURE, token: by('RS256', rsaWith('sha1')) },
  { name: 'PS256 with the right key', code: SIGNATURE, token: by('PS256', ps256) },
  { name: 'RS256 in name, PS256 in truth', code: SIGNATURE, token: by('RS256', ps256) },
  {
    name: 'ES256 with the attacker’s key',
    code: SIGNATURE,
    token: by('ES256', (input) =>
      signBytes('sha256', Buffer.from(input), { key: CURVE.privateKey, dsaEncoding: 'ieee-p1363' }),
    ),
  },
  { name: 'ES256 with a signature of zeros', code: SIGNATURE, token: by('ES256', () => Buffer.alloc(64)) },
  {
    name: 'EdDSA with the attacker’s key',
    code: SIGNATURE,
    token: by('EdDSA', (input) => signBytes(null, Buffer.from(input), EDWARDS.privateKey)),
  },
  { name: 'alg in small letters', code: SIGNATURE, token: by('rs256', rs256(A)) },
  { name: 'alg with a space', code: SIGNATURE, token: by('RS256 ', rs256(A)) },
  { name: 'alg as a list', code: SIGNATURE, token: by(['RS256'], rs256(A)) },
  { name: 'alg missing', code: SIGNATURE, token: by(undefined, rs256(A)) },
  { name: 'alg empty', code: SIGNATURE, token: by('', nothing) },
  { name: 'alg null', code: SIGNATURE, token: by(null, nothing) },
  {
    name: 'alg twice, none last',
    code: SIGNATURE,
    token: withHeader(`{"alg":"RS256","kid":"${A.kid}","alg":"none"}`),
  },
  {
    name: 'alg twice, none first and not signed',
    code: SIGNATURE,
    token: () =>
      makeToken({ header: `{"alg":"none","kid":"${A.kid}","alg":"RS256"}`, payload: v1Claims(), sign: nothing }),
  },
  { name: 'alg inherited', code: SIGNATURE, token: withHeader(`{"__proto__":{"alg":"RS256"},"kid":"${A.kid}"}`) },

  // Keys that it brings.
  { name: 'signed by the attacker, under our kid', code: SIGNATURE, token: forged({ kid: A.kid }) },
  { name: 'signed by the attacker, under their own kid', code: SIGNATURE, token: forged({}) },
  { name: 'jwk, the attacker’s', code: SIGNATURE, token: forged({ jwk: ATTACKER.jwk }) },
  { name: 'jwk, the attacker’s, under our kid', code: SIGNATURE, token: forged({ kid: A.kid, jwk: ATTACKER.jwk }) },
  {
    name: 'jwk, the attacker’s, called as ours',
    code: SIGNATURE,
    token: forged({ kid: A.kid, jwk: { ...ATTACKER.jwk, kid: A.kid } }),
  },
  { name: 'jku, the attacker’s', code: SIGNATURE, token: forged(() => ({ jku: attacker.urlOf(TENANT) })) },
  {
    name: 'jku, the attacker’s, under our kid',
    code: SIGNATURE,
    token: forged(() => ({ kid: A.kid, jku: attacker.urlOf(TENANT) })),
  },
  {
    name: 'jku, ours and the attacker’s',
    code: SIGNATURE,
    token: forged(() => ({ jku: `${keys.urlOf(TENANT)}@${attacker.origin.slice(7)}/` })),
  },
  { name: 'x5u, the attacker’s', code: SIGNATURE, token: forged(() => ({ x5u: `${attacker.origin}/cert.pem` })) },
  { name: 'x5c, the attacker’s', code: SIGNATURE, token: forged({ kid: A.kid, x5c: [SPKI.toString('base64')] }) },
  { name: 'x5t of ours instead of a kid', code: MALFORMED, token: forged({ kid: undefined, x5t: A.kid }) },
  {
    name: 'all of them, and the claims too',
    code: SIGNATURE,
    token: () => {
      const urls = { jku: attacker.urlOf(TENANT), x5u: attacker.urlOf(TENANT) };
      return tokenBy(ATTACKER, v1Claims({ ...urls, jwks_uri: attacker.urlOf(TENANT) }), { ...urls, jwk: ATTACKER.jwk });
    },
  },
  { name: 'a published key that is too short', code: SIGNATURE, token: () => tokenBy(SHORT, v1Claims()) },
  { name: 'a published key for encryption', code: SIGNATURE, token: () => tokenBy(ENCRYPTION, v1Claims()) },
  { name: 'a published private key', code: SIGNATURE, token: () => tokenBy(LEAKED, v1Claims()) },

  // The key's id.
  { name: 'kid missing', code: MALFORMED, token: by('RS256', rs256(A), { kid: undefined }) },
  { name: 'kid empty', code: SIGNATURE, token: by('RS256', rs256(A), { kid: '' }) },
  { name: 'kid null', code: MALFORMED, token: by('RS256', rs256(A), { kid: null }) },
  { name: 'kid an object', code: MALFORMED, token: by('RS256', rs256(A), { kid: { toString: A.kid } }) },
  { name: 'kid a list', code: MALFORMED, token: by('RS256', rs256(A), { kid: [A.kid] }) },
  { name: 'kid a number', code: MALFORMED, token: by('RS256', rs256(A), { kid: 0 }) },
  { name: 'kid huge', code: MALFORMED, token: by('RS256', rs256(A), { kid: 'k'.repeat(10_000) }) },
  { name: 'kid in capitals', code: SIGNATURE, token: by('RS256', rs256(A), { kid: A.kid.toUpperCase() }) },
  { name: 'kid with a zero byte after it', code: SIGNATURE, token: by('RS256', rs256(A), { kid: `${A.kid}\0` }) },
  { name: 'kid a path', code: SIGNATURE, token: forged({ kid: '../../../../../../dev/null' }) },
  { name: 'kid a URL', code: SIGNATURE, token: forged(() => ({ kid: attacker.urlOf(TENANT) })) },
  { name: 'kid SQL', code: SIGNATURE, token: forged({ kid: `${A.kid}' UNION SELECT 'key' --` }) },
  { name: 'kid a command', code: SIGNATURE, token: forged({ kid: '$(id) | `id`' }) },
  { name: 'kid __proto__', code: SIGNATURE, token: forged({ kid: '__proto__' }) },
  { name: 'kid constructor', code: SIGNATURE, token: forged({ kid: 'constructor' }) },
  { name: 'kid inherited', code: MALFORMED, token: withHeader(`{"alg":"RS256","__proto__":{"kid":"${A.kid}"}}`) },

  // The signature and what it is of.
  { name: 'signature stripped', code: SIGNATURE, token: changed((h, p) => `${h}.${p}.`) },
  { name: 'signature truncated', code: SIGNATURE, token: changed((h, p, s) => `${h}.${p}.${s.slice(0, -8)}`) },
  { name: 'signature too long', code: SIGNATURE, token: changed((h, p, s) => `${h}.${p}.${s}${s}`) },
  { name: 'signature flipped in front', code: SIGNATURE, token: changed((h, p, s) => `${h}.${p}.${flipped(s, 0)}`) },
  {
    name: 'signature flipped in the middle',
    code: SIGNATURE,
    token: changed((h, p, s) => `${h}.${p}.${flipped(s, 170)}`),
  },
  { name: 'signature of zeros', code: SIGNATURE, token: by('RS256', () => Buffer.alloc(256)) },
  {
    name: 'signature of another token',
    code: SIGNATURE,
    token: changed((h, p) => `${h}.${p}.${ANOTHER.split('.')[2]}`),
  },
  {
    name: 'payload of another token',
    code: SIGNATURE,
    token: changed((h, _, s) => `${h}.${ANOTHER.split('.')[1]}.${s}`),
  },
  {
    name: 'payload swapped for a later end',
    code: SIGNATURE,
    token: changed((h, _, s) => `${h}.${segment(v1Claims({ exp: MADE_AT + 86_400 }))}.${s}`),
  },
  {
    name: 'header swapped',
    code: SIGNATURE,
    token: changed((_, p, s) => `${segment(headerFor(A, { x: 1 }))}.${p}.${s}`),
  },
  {
    name: 'header padded with blanks',
    code: SIGNATURE,
    token: changed((_, p, s) => `${segment(JSON.stringify(headerFor(A)).replace('}', '   }'))}.${p}.${s}`),
  },
  {
    name: 'a signature that is good for another key of the same tenant’s neighbour',
    code: SIGNATURE,
    token: () => tokenBy(B, v1Claims(), { kid: A.kid }),
  },
  { name: 'issuer of tenant A, key of tenant B', code: SIGNATURE, token: () => tokenBy(B, v1Claims()) },
  {
    name: 'issuer of tenant B, key of tenant A',
    code: SIGNATURE,
    token: claiming({ iss: `https://sts.windows.net/${OTHER_TENANT}/`, tid: OTHER_TENANT }),
  },

  // Time.
  { name: 'expired', code: EXPIRED, token: claiming({ exp: MADE_AT - 3600 }), says: /2026-06-01T11:00:00\.000Z/ },
  { name: 'expired a minute ago', code: EXPIRED, token: claiming({ exp: MADE_AT - 60 }) },
  {
    name: 'expired, in front of an end that is later',
    code: EXPIRED,
    token: writing((json) => json.replace(/}$/, `,"exp":1}`)),
  },
  {
    name: 'not yet valid',
    code: 'token_not_yet_valid',
    token: claiming({ nbf: MADE_AT + 3600 }),
    says: /13:00:00\.000Z/,
  },
  { name: 'not valid for 61 s', code: 'token_not_yet_valid', token: claiming({ nbf: MADE_AT + 61 }) },
  {
    name: 'nbf infinite',
    code: 'token_not_yet_valid',
    token: writing((json) => json.replace(/"nbf":\d+/, '"nbf":1e999')),
  },
  { name: 'nbf a text', code: MALFORMED, token: claiming({ nbf: 'now' }) },
  { name: 'exp missing', code: MALFORMED, token: claiming({ exp: undefined }) },
  { name: 'exp a text', code: MALFORMED, token: claiming({ exp: '9999999999' }) },
  { name: 'exp null', code: MALFORMED, token: claiming({ exp: null }) },
  { name: 'exp true', code: MALFORMED, token: claiming({ exp: true }) },
  { name: 'exp a list', code: MALFORMED, token: claiming({ exp: [9_999_999_999] }) },
  { name: 'exp NaN', code: MALFORMED, token: writing((json) => json.replace(/"exp":\d+/, '"exp":NaN')) },
  { name: 'exp infinite', code: MALFORMED, token: writing((json) => json.replace(/"exp":\d+/, '"exp":1e999')) },
  { name: 'exp negative', code: EXPIRED, token: claiming({ exp: -1 }) },
  { name: 'exp zero', code: EXPIRED, token: claiming({ exp: 0 }), says: /1970-01-01/ },
  {
    name: 'exp infinitely long ago',
    code: EXPIRED,
    token: writing((json) => json.replace(/"exp":\d+/, '"exp":-1e999')),
    says: /no time at all/,
  },

  // Audience.
  { name: 'aud missing', code: MALFORMED, token: claiming({ aud: undefined }) },
  {
    name: 'aud wrong',
    code: AUDIENCE_CODE,
    token: claiming({ aud: 'https://management.azure.com/' }),
    says: /management/,
  },
  { name: 'aud a prefix', code: AUDIENCE_CODE, token: claiming({ aud: 'https://cognitiveservices.azure' }) },
  { name: 'aud with a suffix', code: AUDIENCE_CODE, token: claiming({ aud: `${AUDIENCE}.evil.example` }) },
  { name: 'aud with a path', code: AUDIENCE_CODE, token: claiming({ aud: `${AUDIENCE}/x` }) },
  { name: 'aud in capitals', code: AUDIENCE_CODE, token: claiming({ aud: AUDIENCE.toUpperCase() }) },
  { name: 'aud empty', code: AUDIENCE_CODE, token: claiming({ aud: '' }), says: /no audience/ },
  { name: 'aud null', code: AUDIENCE_CODE, token: claiming({ aud: null }) },
  { name: 'aud an empty list', code: AUDIENCE_CODE, token: claiming({ aud: [] }), says: /no audience/ },
  {
    name: 'aud a list of wrong ones',
    code: AUDIENCE_CODE,
    token: claiming({ aud: ['https://a.example', 'x'] }),
    says: /a\.example, x/,
  },
  { name: 'aud a list in a list', code: AUDIENCE_CODE, token: claiming({ aud: [[AUDIENCE]] }) },
  { name: 'aud an object', code: AUDIENCE_CODE, token: claiming({ aud: { includes: AUDIENCE } }) },
  { name: 'aud long', code: AUDIENCE_CODE, token: claiming({ aud: 'x'.repeat(15_000) }), says: /x{100}…/ },
  {
    name: 'aud twice, the last wrong',
    code: AUDIENCE_CODE,
    token: writing((json) => json.replace(/}$/, `,"aud":"x"}`)),
  },
  {
    name: 'for Microsoft Graph, whose signature nobody else can check',
    code: AUDIENCE_CODE,
    says: /https:\/\/graph\.microsoft\.com; accepted is https:\/\/cognitiveservices\.azure\.com/,
    token: () => {
      // Graph's are signed with the digest of the nonce in the place of the nonce.
      const payload = v1Claims({ aud: 'https://graph.microsoft.com' });
      const nonce = 'a-nonce';
      const digest = createHash('sha256').update(nonce).digest('base64url');
      const signature = rs256(A)(`${segment(headerFor(A, { nonce: digest }))}.${segment(payload)}`);
      return `${segment(headerFor(A, { nonce }))}.${segment(payload)}.${signature.toString('base64url')}`;
    },
  },
  {
    name: 'an ID token',
    code: AUDIENCE_CODE,
    token: claiming({ aud: APP, appid: undefined, nonce: 'n', name: 'Ada', preferred_username: 'ada@example.com' }),
  },

  // Issuer and tenant.
  { name: 'iss missing', code: TENANT_CODE, token: claiming({ iss: undefined }), says: /no issuer/ },
  { name: 'iss a list', code: TENANT_CODE, token: claiming({ iss: [`https://sts.windows.net/${TENANT}/`] }) },
  { name: 'iss null', code: TENANT_CODE, token: claiming({ iss: null }) },
  { name: 'iss __proto__', code: TENANT_CODE, token: claiming({ iss: '__proto__' }) },
  {
    name: 'iss of another tenant',
    code: TENANT_CODE,
    token: claiming({ iss: `https://sts.windows.net/${FOREIGN_TENANT}/`, tid: FOREIGN_TENANT }),
    says: new RegExp(`of tenant ${FOREIGN_TENANT}; accepted are tokens of tenant ${TENANT}, ${OTHER_TENANT}`),
  },
  {
    name: 'iss of anybody’s account',
    code: TENANT_CODE,
    token: claiming({ iss: 'https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0' }),
  },
  {
    name: 'iss our tenant at the attacker’s',
    code: TENANT_CODE,
    token: claiming({ iss: `https://evil.example/${TENANT}/` }),
  },
  {
    name: 'iss our tenant at the attacker’s, whose keys are at hand',
    code: TENANT_CODE,
    token: () => tokenBy(ATTACKER, v1Claims({ iss: `${attacker.origin}/${TENANT}/` })),
  },
  { name: 'iss a prefix', code: TENANT_CODE, token: claiming({ iss: `https://sts.windows.net/${TENANT}` }) },
  { name: 'iss with a suffix', code: TENANT_CODE, token: claiming({ iss: `https://sts.windows.net/${TENANT}/x` }) },
  { name: 'iss in capitals', code: TENANT_CODE, token: claiming({ iss: `https://STS.windows.net/${TENANT}/` }) },
  {
    name: 'iss of common',
    code: TENANT_CODE,
    token: claiming({ iss: 'https://login.microsoftonline.com/common/v2.0' }),
  },
  { name: 'iss a template', code: TENANT_CODE, token: claiming({ iss: 'https://sts.windows.net/{tenantid}/' }) },
  { name: 'tid missing', code: MALFORMED, token: claiming({ tid: undefined }) },
  { name: 'tid of another tenant', code: TENANT_CODE, token: claiming({ tid: FOREIGN_TENANT }) },
  { name: 'tid of the other tenant that is accepted', code: TENANT_CODE, token: claiming({ tid: OTHER_TENANT }) },
  { name: 'tid a list', code: TENANT_CODE, token: claiming({ tid: [TENANT] }) },

  // What a signature may demand.
  { name: 'crit of what nobody knows', code: MALFORMED, token: claiming({}, { crit: ['x'], x: 1 }) },
  { name: 'crit of exp', code: MALFORMED, token: claiming({}, { crit: ['exp'], exp: MADE_AT + 60 }) },
  { name: 'crit empty', code: MALFORMED, token: claiming({}, { crit: [] }) },
  { name: 'crit a text', code: MALFORMED, token: claiming({}, { crit: 'b64' }) },
  { name: 'crit of __proto__', code: MALFORMED, token: claiming({}, { crit: ['__proto__'] }) },
  { name: 'b64 false', code: MALFORMED, token: claiming({}, { crit: ['b64'], b64: false }) },

  // Who it is of.
  { name: 'no azp, no appid, no oid', code: MALFORMED, token: claiming({ appid: undefined, oid: undefined }) },
  { name: 'no azp and no appid', code: MALFORMED, token: claiming({ appid: undefined }) },
  { name: 'appid no id', code: MALFORMED, token: claiming({ appid: 'chat-app' }) },
  { name: 'appid with a line break after it', code: MALFORMED, token: claiming({ appid: `${APP}\n` }) },
  {
    name: 'appid in the digits of another script',
    code: MALFORMED,
    token: claiming({ appid: APP.replaceAll('4', '４') }),
  },
  { name: 'appid an object', code: MALFORMED, token: claiming({ appid: { toLowerCase: APP } }) },

  // Characters that drive terminals and forge lines.
  {
    name: 'aud of control characters',
    code: AUDIENCE_CODE,
    token: claiming({ aud: CONTROL }),
    says: /x\?\?Set-Cookie: a=b\?\?\[31m/,
  },
  {
    name: 'iss of control characters',
    code: TENANT_CODE,
    token: claiming({ iss: CONTROL }),
    says: /x\?\?Set-Cookie: a=b\?\?\[31m/,
  },
  {
    name: 'iss of control characters around our tenant',
    code: TENANT_CODE,
    token: claiming({ iss: `${CONTROL}/${TENANT}/` }),
    says: /x\?\?Set-Cookie: a=b\?\?\[31m/,
  },
  {
    name: 'tid of control characters',
    code: TENANT_CODE,
    token: claiming({ tid: CONTROL }),
    says: /x\?\?Set-Cookie: a=b\?\?\[31m/,
  },
  {
    name: 'oid and names of control characters',
    code: MALFORMED,
    token: claiming({ appid: CONTROL, oid: CONTROL, upn: CONTROL }),
  },

  // The form.
  {
    name: 'encrypted (five parts)',
    code: MALFORMED,
    token: () =>
      `${segment({ alg: 'RSA-OAEP', enc: 'A256GCM', kid: A.kid })}.${segment('key-of-some-length')}.${segment('iv')}.${segment('ciphertext-of-some-length')}.${segment('tag')}`,
  },
  {
    name: 'encrypted in name (alg dir)',
    code: MALFORMED,
    token: () => `${segment({ alg: 'dir', enc: 'A128CBC-HS256' })}..${segment('iv')}.${SECOND_PART}.${segment('tag')}`,
  },
  { name: 'two parts', code: UNKNOWN, token: changed((h, p) => `${h}.${p}`) },
  { name: 'four parts', code: MALFORMED, token: () => `${GOOD}.x` },
  { name: 'four parts, the last empty', code: MALFORMED, token: () => `${GOOD}.` },
  { name: 'six parts', code: UNKNOWN, token: () => `${GOOD}.${GOOD}` },
  { name: 'a part before it', code: UNKNOWN, token: () => `.${GOOD}` },
  { name: 'nothing but dots', code: UNKNOWN, token: () => '..' },
  { name: 'an empty header', code: UNKNOWN, token: changed((_, p, s) => `.${p}.${s}`) },
  { name: 'an empty payload', code: MALFORMED, token: changed((h, _, s) => `${h}..${s}`) },
  { name: 'a header alone', code: MALFORMED, token: changed((h) => `${h}..`) },
  { name: 'a header that breaks off', code: MALFORMED, token: changed((h, p, s) => `${h.slice(0, 5)}.${p}.${s}`) },
  { name: 'a header that is not JSON', code: MALFORMED, token: withHeader(`{"alg":"RS256","kid":"${A.kid}"`) },
  {
    name: 'a header that is not UTF-8',
    code: MALFORMED,
    token: withHeader(Buffer.from(`{"alg":"RS256","kid":"${A.kid}\xff"}`, 'latin1')),
  },
  { name: 'a header that begins with a blank', code: UNKNOWN, token: withHeader(` {"alg":"RS256","kid":"${A.kid}"}`) },
  { name: 'a header that is a list', code: UNKNOWN, token: withHeader('[{"alg":"RS256"}]') },
  { name: 'a header that is text', code: UNKNOWN, token: withHeader('RS256') },
  { name: 'a payload that is not JSON', code: MALFORMED, token: () => tokenBy(A, '{"iss":') },
  {
    name: 'a payload that is not UTF-8',
    code: MALFORMED,
    token: () => tokenBy(A, Buffer.from('{"iss":"\xff"}', 'latin1')),
  },
  { name: 'a payload that is a list', code: MALFORMED, token: () => tokenBy(A, [v1Claims()]) },
  { name: 'a payload that is null', code: MALFORMED, token: () => tokenBy(A, null) },
  { name: 'a payload that is a number', code: MALFORMED, token: () => tokenBy(A, 7) },
  { name: 'a payload that is a text', code: MALFORMED, token: () => tokenBy(A, '"text"') },
  { name: 'a payload that is a token', code: MALFORMED, token: () => tokenBy(A, GOOD, { cty: 'JWT' }) },
  { name: 'a payload without claims', code: TENANT_CODE, token: () => tokenBy(A, {}) },
  {
    name: 'a payload that nests 8000 deep',
    code: MALFORMED,
    token: () => tokenBy(A, `${'['.repeat(8000)}${']'.repeat(8000)}`),
  },
  {
    name: 'a payload that nests 3000 objects deep',
    code: TENANT_CODE,
    token: () => tokenBy(A, `${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`),
  },
  {
    name: 'claims inherited',
    code: TENANT_CODE,
    token: () => tokenBy(A, `{"__proto__":${JSON.stringify(v1Claims())}}`),
  },
  { name: 'an odd typ, and another’s signature', code: SIGNATURE, token: forged({ kid: A.kid, typ: 'JOSE+JSON' }) },
  { name: 'padding after each part', code: UNKNOWN, token: changed((h, p, s) => `${h}=.${p}==.${s}=`) },
  { name: 'padding after the signature', code: UNKNOWN, token: () => `${GOOD}==` },
  { name: 'the other alphabet', code: UNKNOWN, token: () => `${GOOD}+/` },
  { name: 'a percent sign', code: UNKNOWN, token: () => `${GOOD}%00` },
  { name: 'letters that only look alike', code: UNKNOWN, token: () => GOOD.replace('e', 'е') },
  { name: 'a comma and another', code: UNKNOWN, token: () => `${GOOD},${GOOD}` },
  {
    name: '20 KB, and another’s signature',
    code: SIGNATURE,
    token: () => tokenBy(ATTACKER, v1Claims({ x: 'x'.repeat(15_000) }), { kid: A.kid }),
  },
  {
    name: 'more than all headers may be',
    status: 431,
    code: 'headers_too_large',
    token: () => tokenBy(A, v1Claims({ x: 'x'.repeat(30_000) })),
  },

  // Where it stands.
  { name: 'a blank inside, in api-key', code: UNKNOWN, lines: () => [`api-key: ${GOOD.replace('.', '. ')}`] },
  {
    name: 'a blank inside, as Bearer',
    code: 'missing_credential',
    lines: () => [`Authorization: Bearer ${GOOD.replace('.', ' .')}`],
  },
  { name: 'a tab inside', code: UNKNOWN, lines: () => [`api-key: ${GOOD.replace('.', '\t.')}`] },
  {
    name: 'a folded line',
    status: 400,
    code: 'malformed_request',
    lines: () => [`api-key: ${GOOD.slice(0, 40)}`, ` ${GOOD.slice(40)}`],
  },
  {
    name: 'a line break inside',
    status: 400,
    code: 'malformed_request',
    lines: () => [`api-key: ${GOOD.slice(0, 40)}`, GOOD.slice(40)],
  },
  {
    name: 'a bare line feed inside',
    status: 400,
    code: 'malformed_request',
    lines: () => [`api-key: ${GOOD.slice(0, 40)}\n${GOOD.slice(40)}`],
  },
  {
    name: 'a zero byte inside',
    status: 400,
    code: 'malformed_request',
    lines: () => [`api-key: ${GOOD.replace('.', '.\0')}`],
  },
  { name: 'api-key twice', code: UNKNOWN, lines: () => [`api-key: ${GOOD}`, `api-key: ${GOOD}`] },
  {
    name: 'two in one Bearer',
    code: 'missing_credential',
    lines: () => [`Authorization: Bearer ${GOOD}, Bearer ${GOOD}`],
  },
  { name: 'Bearer twice', code: UNKNOWN, lines: () => [`api-key: Bearer ${GOOD}`] },
  ...['Basic', 'Token', 'JWT', 'PoP', 'DPoP', 'Negotiate', 'Bearer:', 'Bearer,'].map((scheme) => ({
    name: `under the scheme ${scheme}`,
    code: 'missing_credential',
    lines: () => [`Authorization: ${scheme} ${GOOD}`],
  })),
  { name: 'under no scheme', code: 'missing_credential', lines: () => [`Authorization: ${GOOD}`] },
  {
    name: 'in other headers',
    code: 'missing_credential',
    lines: () => [
      `x-api-key: ${GOOD}`,
      `Cookie: api-key=${GOOD}`,
      `Proxy-Authorization: Bearer ${GOOD}`,
      `x-ms-token-aad-access-token: ${GOOD}`,
    ],
  },
  {
    name: 'a wrong one in both headers',
    code: EXPIRED,
    lines: () => [`api-key: ${claiming({ exp: 1 })()}`, `Authorization: Bearer ${forged({})()}`],
  },
  {
    name: 'a wrong one beside a wrong key',
    code: SIGNATURE,
    lines: () => [`api-key: key-1`, `Authorization: Bearer ${forged({})()}`],
  },
];

describe('a forged token', () => {
  before(() => start());
  after(stop);

  for (const { name, code, status = 401, token, lines, says } of HOSTILE) {
    it(`is ${status} ${code}, and nothing else happens: ${name}`, async () => {
      const made = token?.();
      const sends = made === undefined ? [lines?.() ?? []] : bothHeaders(made).map((line) => [line]);
      for (const sent of sends) {
        const fromLog = running.log.length;
        const fromEvents = running.events.length;
        const answer = await ask('/v1/models', ...sent);
        assert.deepEqual([answer.status, codeOf(answer)], [status, code], answer.body);
        const message = messageOf(answer);
        assert.match(message, /^[\x20-\x7e…]+$/);
        if (says !== undefined) assert.match(message, says);
        if (code.startsWith('token_')) assert.equal(answer.headers['www-authenticate'], 'Bearer error="invalid_token"');

        const events = running.events.slice(fromEvents);
        const log = running.log.slice(fromLog);
        assert.equal(events.length, 1);
        assert.equal(log.length, 1);
        assert.match(log.join(''), new RegExp(`^[\\x20-\\x7e]*${code}[\\x20-\\x7e]*\\n$`));
        const [told] = events;
        assert.ok(told?.kind === 'request-finished' || told?.kind === 'connection-refused');
        if (told.kind === 'request-finished') assert.deepEqual([told.client, told.attempts, told.code], ['', 0, code]);

        assertTellsNothing('the answer', answer.head + answer.body, sent);
        assertTellsNothing('an event', JSON.stringify(events), sent);
        assertTellsNothing('the log', log.join(''), sent);
        assert.deepEqual(callCounts(running), [0, 0]);
      }
    });
  }

  it('has the keys of the tenants fetched once, and nobody else’s ever', () => {
    assert.deepEqual(keys.requests.toSorted(), [`/${TENANT}/keys`, `/${OTHER_TENANT}/keys`].toSorted());
    assert.deepEqual(attacker.requests, []);
    assert.equal(attacker.openSockets, 0);
    running.assertIdle();
  });

  it('does not read /status either, whatever it is, nor /metrics and /ledger', async () => {
    await stop();
    await start({ ENTRA_ALLOWED_OPERATORS: `${APP},${OBJECT}`, OPERATOR_KEYS: 'alice=operator-key' });
    assert.equal((await ask('/status', `api-key: ${GOOD}`)).status, 200);
    for (const { name, token, lines } of HOSTILE) {
      const made = token?.();
      const sends = made === undefined ? [lines?.() ?? []] : bothHeaders(made).map((line) => [line]);
      for (const sent of sends) {
        for (const path of ['/status', '/metrics', '/ledger']) {
          const answer = await ask(path, ...sent);
          assert.ok([400, 401, 431].includes(answer.status), `${path} with ${name}: ${answer.status}`);
          assertTellsNothing('the answer', answer.head + answer.body, sent);
        }
      }
    }
    assertTellsNothing('the log', running.log.join(''), [GOOD]);
  });

  it('is of many kinds', () => {
    assert.ok(HOSTILE.length > 150);
    assert.equal(new Set(HOSTILE.map(({ name }) => name)).size, HOSTILE.length);
  });
});
