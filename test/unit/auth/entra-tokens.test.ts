import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { SignJWT } from 'jose';
import {
  createEntraTokens,
  type EntraTokens,
  type TrustedIssuer,
  type Verdict,
} from '../../../app/src/auth/entra-tokens.ts';
import { manualClock, type ManualClock } from '../../support/manual-clock.ts';
import {
  APP,
  AUDIENCE,
  documentOf,
  FOREIGN_TENANT,
  headerFor,
  LIFETIME,
  MADE_AT,
  MADE_AT_MS,
  makeToken,
  OBJECT,
  OTHER_TENANT,
  PERSON,
  signingKey,
  TENANT,
  tokenBy,
  v1Claims,
  v2Claims,
  type Members,
} from '../../support/tokens.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const A = signingKey('key-a');
const B = signingKey('key-b');
const SHORT = signingKey('short', 1024);

interface Entra {
  readonly tokens: EntraTokens;
  readonly clock: ManualClock;
  readonly wallClock: ManualClock;
  /** URL → its document; one that is not there is out. */
  readonly documents: Map<string, string>;
  /** The URLs that were asked, in order. */
  readonly asked: string[];
  /** `url kind`, in order. */
  readonly told: string[];
}

function keysUrl(tenantId: string): string {
  return `https://keys.example/${tenantId}`;
}

function issuersOf(tenantId: string): readonly TrustedIssuer[] {
  return [`https://sts.windows.net/${tenantId}/`, `https://login.microsoftonline.com/${tenantId}/v2.0`].map(
    (issuer) => ({ issuer, tenantId, keysUrl: keysUrl(tenantId) }),
  );
}

function startEntra({
  issuers = issuersOf(TENANT),
  audiences = [AUDIENCE, 'https://ai.azure.com'],
  document = documentOf(A.jwk),
  mostRemembered,
}: {
  readonly issuers?: readonly TrustedIssuer[];
  readonly audiences?: readonly string[];
  readonly document?: string;
  readonly mostRemembered?: number;
} = {}): Entra {
  const clock = manualClock(7_000_000);
  const wallClock = manualClock(MADE_AT_MS);
  const documents = new Map([[keysUrl(TENANT), document]]);
  const asked: string[] = [];
  const told: string[] = [];
  const tokens = createEntraTokens({
    trust: { issuers, audiences },
    fetchDocument(url) {
      asked.push(url);
      const found = documents.get(url);
      return found === undefined ? Promise.reject(new Error('out')) : Promise.resolve(found);
    },
    clock: clock.now,
    wallClockMs: wallClock.now,
    onKeysChange: (url, change) => told.push(`${url} ${change.kind}`),
    ...(mostRemembered === undefined ? {} : { mostRemembered }),
  });
  return { tokens, clock, wallClock, documents, asked, told };
}

/** Both clocks: a second here is a second there. */
function advance({ clock, wallClock }: Entra, ms: number): void {
  clock.advance(ms);
  wallClock.advance(ms);
}

/** `verified`, or why not. */
async function verdictOn({ tokens }: Entra, token: string): Promise<string> {
  const verdict = await tokens.verify(token);
  return verdict.kind === 'refused' ? verdict.problem.why : verdict.kind;
}

async function identityIn({ tokens }: Entra, token: string): Promise<unknown> {
  const verdict = await tokens.verify(token);
  assert.ok(verdict.kind === 'verified', JSON.stringify(verdict));
  return verdict.identity;
}

/** Given at once, without a look at the signature. */
function isRemembered({ tokens }: Entra, token: string): boolean {
  return !(tokens.verify(token) instanceof Promise);
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

describe('entra tokens: whom they name', () => {
  const application = { applicationId: APP, objectId: OBJECT, isPerson: false };
  for (const [what, claims, identity] of [
    ['an application in v1 form, by appid', v1Claims(), application],
    ['an application in v2 form, by azp', v2Claims(), application],
    ['an application without an object', v1Claims({ oid: undefined }), { applicationId: APP, isPerson: false }],
    ['an application whose object is not an id', v1Claims({ oid: '../x' }), { applicationId: APP, isPerson: false }],
    ['ids in capitals, which become small letters', v1Claims({ appid: APP.toUpperCase() }), application],
    ['an application with roles', v2Claims({ roles: ['Reader'] }), application],
    ['an application that says it is one, whatever its scopes', v2Claims({ scp: 'x', idtyp: 'app' }), application],
    ['somebody who signed in, v1', v1Claims(PERSON), { ...application, isPerson: true }],
    ['somebody who signed in, v2', v2Claims(PERSON), { ...application, isPerson: true }],
    ['somebody of whom nobody says what they are', v2Claims({ scp: 'x' }), { ...application, isPerson: true }],
    ['nobody by a scope that is no text', v2Claims({ scp: ['x'] }), application],
  ] as const) {
    it(`is ${what}`, async () => {
      assert.deepEqual(await identityIn(startEntra(), tokenBy(A, claims)), identity);
    });
  }

  for (const [what, claims] of [
    ['nobody', { appid: undefined, oid: undefined }],
    ['an object alone, as ID tokens do', { appid: undefined, ...PERSON, scp: undefined }],
    ['an application that is not an id', { appid: 'chat-app' }],
    ['an application that is a list', { appid: [APP] }],
    ['an application with something around it', { appid: `${APP} ` }],
  ] as const) {
    it(`is nobody that can be let in: ${what}`, async () => {
      assert.equal(await verdictOn(startEntra(), tokenBy(A, v1Claims(claims))), 'malformed');
    });
  }

  it('is read from what another library signed', async () => {
    const token = await new SignJWT({ ...v2Claims() })
      .setProtectedHeader({ alg: 'RS256', kid: A.kid, typ: 'JWT' })
      .sign(A.privateKey);
    assert.deepEqual(await identityIn(startEntra(), token), application);
  });
});

describe('entra tokens: an ID token', () => {
  it('opens nothing, even where its audience is accepted', async () => {
    const audiences = [APP];
    const idToken = v2Claims({
      aud: APP,
      azp: undefined,
      name: 'Ada',
      nonce: 'n',
      preferred_username: 'ada@example.com',
    });
    assert.equal(await verdictOn(startEntra({ audiences }), tokenBy(A, idToken)), 'malformed');
    const accessToken = v2Claims({ ...PERSON, aud: APP });
    assert.equal(await verdictOn(startEntra({ audiences }), tokenBy(A, accessToken)), 'verified');
  });
});

describe('entra tokens: audience', () => {
  for (const aud of [
    AUDIENCE,
    `${AUDIENCE}/`,
    'https://ai.azure.com',
    'https://ai.azure.com/',
    [AUDIENCE],
    ['https://graph.microsoft.com', `${AUDIENCE}/`],
  ]) {
    it(`is right: ${JSON.stringify(aud)}`, async () => {
      assert.equal(await verdictOn(startEntra(), tokenBy(A, v1Claims({ aud }))), 'verified');
    });
  }

  for (const [aud, sent] of [
    ['https://graph.microsoft.com', 'https://graph.microsoft.com'],
    ['00000003-0000-0000-c000-000000000000', '00000003-0000-0000-c000-000000000000'],
    ['https://cognitiveservices.azure', 'https://cognitiveservices.azure'],
    [`${AUDIENCE}.evil.example`, `${AUDIENCE}.evil.example`],
    [`${AUDIENCE}//`, `${AUDIENCE}//`],
    [`${AUDIENCE}/.default`, `${AUDIENCE}/.default`],
    [AUDIENCE.toUpperCase(), AUDIENCE.toUpperCase()],
    [` ${AUDIENCE}`, ` ${AUDIENCE}`],
    [`https://a.example,${AUDIENCE}`, `https://a.example,${AUDIENCE}`],
    ['', ''],
    [[], ''],
    [['https://a.example', 'https://b.example'], 'https://a.example, https://b.example'],
    [[[AUDIENCE]], ''],
    [{ 0: AUDIENCE }, ''],
    [null, ''],
    [7, ''],
  ] as const) {
    it(`is wrong, and said: ${JSON.stringify(aud)}`, async () => {
      assert.deepEqual(await startEntra().tokens.verify(tokenBy(A, v1Claims({ aud }))), {
        kind: 'refused',
        problem: { why: 'audience', sent, expected: [AUDIENCE, 'https://ai.azure.com'] },
      });
    });
  }

  it('is said even when the signature cannot be checked, as that of a token for Microsoft Graph', async () => {
    const graph = tokenBy(B, v1Claims({ aud: 'https://graph.microsoft.com' }), { nonce: 'n', kid: A.kid });
    assert.equal(await verdictOn(startEntra(), graph), 'audience');
    const ours = tokenBy(B, v1Claims(), { kid: A.kid });
    assert.equal(await verdictOn(startEntra(), ours), 'signature');
    const nobodys = tokenBy(B, v1Claims({ aud: undefined }), { kid: A.kid });
    assert.equal(await verdictOn(startEntra(), nobodys), 'signature');
  });
});

describe('entra tokens: issuer and tenant', () => {
  for (const [what, claims, sent] of [
    ['another tenant', { iss: `https://sts.windows.net/${FOREIGN_TENANT}/` }, undefined],
    ['the tenant at another host', { iss: `https://evil.example/${TENANT}/` }, undefined],
    ['the tenant behind another', { iss: `https://sts.windows.net/${FOREIGN_TENANT}/${TENANT}/` }, undefined],
    ['a slash too few', { iss: `https://sts.windows.net/${TENANT}` }, undefined],
    ['a slash too many', { iss: `https://login.microsoftonline.com/${TENANT}/v2.0/` }, undefined],
    ['capitals', { iss: `https://sts.windows.net/${TENANT.toUpperCase()}/` }, undefined],
    ['no TLS', { iss: `http://sts.windows.net/${TENANT}/` }, undefined],
    ['nothing', { iss: undefined }, ''],
    ['a list', { iss: [`https://sts.windows.net/${TENANT}/`] }, ''],
    ['a number', { iss: 7 }, ''],
    ['an empty text', { iss: '' }, ''],
    ['another tid', { tid: FOREIGN_TENANT }, FOREIGN_TENANT],
    ['a tid that is no id', { tid: `${TENANT}x` }, `${TENANT}x`],
    ['a tid that is a list', { tid: [TENANT] }, ''],
  ] as const) {
    it(`is wrong, and said: ${what}`, async () => {
      const entra = startEntra();
      assert.deepEqual(await entra.tokens.verify(tokenBy(A, v1Claims(claims))), {
        kind: 'refused',
        problem: { why: 'issuer', sent: sent ?? ('iss' in claims ? claims.iss : ''), expected: [TENANT] },
      });
    });
  }

  it('without a tid is not complete', async () => {
    assert.equal(await verdictOn(startEntra(), tokenBy(A, v1Claims({ tid: undefined }))), 'malformed');
  });

  it('with a tid in capitals is the same tenant', async () => {
    assert.equal(await verdictOn(startEntra(), tokenBy(A, v1Claims({ tid: TENANT.toUpperCase() }))), 'verified');
  });

  it('of nobody that is trusted has no keys fetched', async () => {
    const entra = startEntra();
    await verdictOn(entra, tokenBy(A, v1Claims({ iss: `https://sts.windows.net/${FOREIGN_TENANT}/` })));
    assert.deepEqual(entra.asked, []);
  });

  it('has its keys fetched once for both forms, v1 and v2', async () => {
    const entra = startEntra();
    assert.equal(await verdictOn(entra, tokenBy(A, v1Claims())), 'verified');
    assert.equal(await verdictOn(entra, tokenBy(A, v2Claims())), 'verified');
    assert.deepEqual(entra.asked, [keysUrl(TENANT)]);
  });
});

describe('entra tokens: two tenants', () => {
  const claimsOf = (tenant: string): Members =>
    v1Claims({ iss: `https://sts.windows.net/${tenant}/`, tid: tenant, exp: MADE_AT + LIFETIME });

  function startTwo(): Entra {
    const entra = startEntra({ issuers: [...issuersOf(TENANT), ...issuersOf(OTHER_TENANT)] });
    entra.documents.set(keysUrl(OTHER_TENANT), documentOf(B.jwk));
    return entra;
  }

  it('are both accepted, each with its own keys', async () => {
    const entra = startTwo();
    assert.equal(await verdictOn(entra, tokenBy(A, claimsOf(TENANT))), 'verified');
    assert.equal(await verdictOn(entra, tokenBy(B, claimsOf(OTHER_TENANT))), 'verified');
    assert.deepEqual(entra.asked, [keysUrl(TENANT), keysUrl(OTHER_TENANT)]);
  });

  it('do not sign for each other', async () => {
    const entra = startTwo();
    assert.equal(await verdictOn(entra, tokenBy(B, claimsOf(TENANT))), 'signature');
    assert.equal(await verdictOn(entra, tokenBy(A, claimsOf(OTHER_TENANT))), 'signature');
    const crossed = tokenBy(A, v1Claims({ tid: OTHER_TENANT }));
    assert.deepEqual(await entra.tokens.verify(crossed), {
      kind: 'refused',
      problem: { why: 'issuer', sent: OTHER_TENANT, expected: [TENANT, OTHER_TENANT] },
    });
  });

  it('do not sign for each other from one document that says whose each key is', async () => {
    const url = keysUrl(TENANT);
    const issuers = [TENANT, OTHER_TENANT].flatMap(issuersOf).map((issuer) => ({ ...issuer, keysUrl: url }));
    const template = 'https://login.microsoftonline.com/{tenantid}/v2.0';
    const document = documentOf(
      { ...A.jwk, issuer: template },
      { ...B.jwk, issuer: template.replace('{tenantid}', OTHER_TENANT.toUpperCase()) },
    );
    const entra = startEntra({ issuers, document });
    assert.equal(await verdictOn(entra, tokenBy(A, claimsOf(TENANT))), 'verified');
    assert.equal(await verdictOn(entra, tokenBy(A, claimsOf(OTHER_TENANT))), 'verified');
    assert.equal(await verdictOn(entra, tokenBy(B, claimsOf(OTHER_TENANT))), 'verified');
    assert.equal(await verdictOn(entra, tokenBy(B, claimsOf(TENANT))), 'signature');
  });

  it('do not need each other: an outage of the one is not felt by the other', async () => {
    const entra = startTwo();
    entra.documents.delete(keysUrl(OTHER_TENANT));
    assert.equal(await verdictOn(entra, tokenBy(A, claimsOf(TENANT))), 'verified');
    assert.equal(await verdictOn(entra, tokenBy(B, claimsOf(OTHER_TENANT))), 'keys-unavailable');
    assert.deepEqual(entra.told, [`${keysUrl(OTHER_TENANT)} failed`]);
  });

  it('have their keys fetched before anybody needs them; one that is out ends nothing', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const entra = startTwo();
      entra.documents.delete(keysUrl(OTHER_TENANT));
      entra.tokens.warm();
      assert.deepEqual(entra.asked, [keysUrl(TENANT), keysUrl(OTHER_TENANT)]);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      assert.deepEqual(unhandled, []);
      assert.equal(await verdictOn(entra, tokenBy(A, claimsOf(TENANT))), 'verified');
      assert.equal(entra.asked.length, 2);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });
});

describe('entra tokens: time', () => {
  for (const [what, claims, why] of [
    ['59 s after its end', { exp: MADE_AT - 59 }, 'verified'],
    ['60 s after its end', { exp: MADE_AT - 60 }, 'expired'],
    ['61 s after its end', { exp: MADE_AT - 61 }, 'expired'],
    ['an hour after its end', { exp: MADE_AT - 3600 }, 'expired'],
    ['59 s before its beginning', { nbf: MADE_AT + 59 }, 'verified'],
    ['60 s before its beginning', { nbf: MADE_AT + 60 }, 'verified'],
    ['61 s before its beginning', { nbf: MADE_AT + 61 }, 'early'],
    ['with no beginning', { nbf: undefined }, 'verified'],
    ['with no end', { exp: undefined }, 'malformed'],
    ['with an end that is a text', { exp: String(MADE_AT + LIFETIME) }, 'malformed'],
    ['with an end that is null', { exp: null }, 'malformed'],
    ['with a negative end', { exp: -1 }, 'expired'],
    ['with a beginning that is a text', { nbf: 'now' }, 'malformed'],
    ['with an end that is a fraction', { exp: MADE_AT - 59.5 }, 'verified'],
  ] as const) {
    it(`is ${why}: ${what}`, async () => {
      assert.equal(await verdictOn(startEntra(), tokenBy(A, v1Claims(claims))), why);
    });
  }

  for (const [number, why] of [
    ['1e999', 'malformed'],
    ['-1e999', 'expired'],
    ['NaN', 'malformed'],
    ['9e15', 'verified'],
  ] as const) {
    it(`is ${why}: with the end ${number}`, async () => {
      const payload = JSON.stringify(v1Claims({ exp: 12_345 })).replace('12345', number);
      assert.equal(await verdictOn(startEntra(), tokenBy(A, payload)), why);
    });
  }

  it('is said with both clocks', async () => {
    const entra = startEntra();
    const now = MADE_AT_MS;
    const problemOf = async (claims: Members): Promise<unknown> => {
      const verdict = await entra.tokens.verify(tokenBy(A, v1Claims(claims)));
      return verdict.kind === 'refused' ? verdict.problem : undefined;
    };
    assert.deepEqual(await problemOf({ exp: MADE_AT - 90 }), { why: 'expired', at: now - 90_000, now });
    assert.deepEqual(await problemOf({ nbf: MADE_AT + 90 }), { why: 'early', at: now + 90_000, now });
  });
});

describe('entra tokens: remembered', () => {
  it('is one that was accepted: the second time its verdict is there at once', async () => {
    const entra = startEntra();
    const token = tokenBy(A, v1Claims());
    assert.equal(isRemembered(entra, token), false);
    const first: Verdict = await entra.tokens.verify(token);
    assert.equal(isRemembered(entra, token), true);
    assert.deepEqual(await entra.tokens.verify(token), first);
  });

  it('is never one that was refused', async () => {
    const entra = startEntra();
    const token = tokenBy(A, v1Claims({ aud: 'https://graph.microsoft.com' }));
    assert.equal(await verdictOn(entra, token), 'audience');
    assert.equal(isRemembered(entra, token), false);
  });

  it('is the whole token: another signature under the same claims is another token', async () => {
    const entra = startEntra();
    const token = tokenBy(A, v1Claims());
    await verdictOn(entra, token);
    for (const other of [token.slice(0, -4), `${token.slice(0, -4)}AAAA`, `${token}A`, token.replace(/[^.]*$/, '')]) {
      assert.equal(isRemembered(entra, other), false);
      assert.notEqual(await verdictOn(entra, other), 'verified');
    }
  });

  it('ends with the token, to the second', async () => {
    const entra = startEntra();
    const token = tokenBy(A, v1Claims());
    await verdictOn(entra, token);
    advance(entra, (LIFETIME + 60) * SECOND_MS - 1);
    assert.equal(isRemembered(entra, token), true);
    advance(entra, 1);
    assert.equal(isRemembered(entra, token), false);
    assert.equal(await verdictOn(entra, token), 'expired');
  });

  it('ends when its key is withdrawn', async () => {
    const entra = startEntra({ document: documentOf(A.jwk, B.jwk) });
    const [byA, byB] = [
      tokenBy(A, v1Claims({ exp: MADE_AT + 86_400 })),
      tokenBy(B, v1Claims({ exp: MADE_AT + 86_400 })),
    ];
    assert.equal(await verdictOn(entra, byA), 'verified');
    assert.equal(await verdictOn(entra, byB), 'verified');
    entra.documents.set(keysUrl(TENANT), documentOf(B.jwk));
    advance(entra, HOUR_MS);
    assert.equal(isRemembered(entra, byA), true, 'the renewal is in the background');
    await settled();
    assert.equal(isRemembered(entra, byA), false);
    assert.equal(await verdictOn(entra, byA), 'signature');
    assert.equal(await verdictOn(entra, byB), 'verified');
    assert.equal(isRemembered(entra, byB), true);
    assert.equal(entra.asked.length, 2);
  });

  it('ends when its key is another one under the same id', async () => {
    const entra = startEntra();
    const token = tokenBy(A, v1Claims({ exp: MADE_AT + 86_400 }));
    assert.equal(await verdictOn(entra, token), 'verified');
    entra.documents.set(keysUrl(TENANT), documentOf({ ...B.jwk, kid: A.kid }));
    advance(entra, HOUR_MS);
    isRemembered(entra, token);
    await settled();
    assert.equal(await verdictOn(entra, token), 'signature');
  });

  it('keeps the keys fresh: it alone has them renewed hourly', async () => {
    const entra = startEntra();
    const token = tokenBy(A, v1Claims({ exp: MADE_AT + 86_400 }));
    await verdictOn(entra, token);
    for (let hours = 1; hours <= 5; hours += 1) {
      advance(entra, HOUR_MS);
      assert.equal(isRemembered(entra, token), true);
      await settled();
      assert.equal(entra.asked.length, 1 + hours);
    }
  });

  it('is so many at most: the oldest is forgotten, and looked at anew', async () => {
    const entra = startEntra({ mostRemembered: 3 });
    const tokens = [1, 2, 3, 4].map((uti) => tokenBy(A, v1Claims({ uti })));
    const [first = '', ...others] = tokens;
    for (const token of tokens) assert.equal(await verdictOn(entra, token), 'verified');
    for (const token of others) assert.equal(isRemembered(entra, token), true);
    assert.equal(isRemembered(entra, first), false);
    assert.equal(await verdictOn(entra, first), 'verified');
  });
});

describe('entra tokens: keys', () => {
  it('that are new are found when a token names them, every 30 s at most however many strangers ask', async () => {
    const entra = startEntra();
    assert.equal(await verdictOn(entra, tokenBy(A, v1Claims())), 'verified');
    entra.documents.set(keysUrl(TENANT), documentOf(A.jwk, B.jwk));
    const token = tokenBy(B, v1Claims());
    advance(entra, 30 * SECOND_MS - 1);
    for (let i = 0; i < 5; i += 1) {
      assert.equal(await verdictOn(entra, tokenBy(B, v1Claims(), { kid: `stranger-${i}` })), 'signature');
    }
    assert.equal(await verdictOn(entra, token), 'signature');
    assert.equal(entra.asked.length, 1);
    advance(entra, 1);
    assert.equal(await verdictOn(entra, token), 'verified');
    assert.equal(entra.asked.length, 2);
    for (let i = 0; i < 5; i += 1) {
      assert.equal(await verdictOn(entra, tokenBy(B, v1Claims(), { kid: `stranger-${i}` })), 'signature');
    }
    assert.equal(entra.asked.length, 2);
  });

  it('that are known go on working while the endpoint is out; of others nobody can say', async () => {
    const entra = startEntra();
    assert.equal(await verdictOn(entra, tokenBy(A, v1Claims())), 'verified');
    entra.documents.clear();
    for (let hours = 0; hours < 5; hours += 1) {
      advance(entra, HOUR_MS);
      const exp = MADE_AT + (hours + 2) * LIFETIME;
      assert.equal(await verdictOn(entra, tokenBy(A, v1Claims({ exp }))), 'verified');
      await settled();
      assert.equal(await verdictOn(entra, tokenBy(B, v1Claims({ exp }))), 'keys-unavailable');
      assert.equal(await verdictOn(entra, tokenBy(B, v1Claims({ exp }), { kid: A.kid })), 'signature');
    }
  });

  it('that were never had let nobody in, and are there once they can be had', async () => {
    const entra = startEntra();
    const document = entra.documents.get(keysUrl(TENANT)) ?? '';
    entra.documents.clear();
    const token = tokenBy(A, v1Claims());
    for (let i = 0; i < 3; i += 1) assert.equal(await verdictOn(entra, token), 'keys-unavailable');
    assert.equal(entra.asked.length, 1);
    advance(entra, SECOND_MS);
    entra.documents.set(keysUrl(TENANT), document);
    assert.equal(await verdictOn(entra, token), 'verified');
    assert.deepEqual(entra.told, [`${keysUrl(TENANT)} failed`, `${keysUrl(TENANT)} back`]);
  });

  for (const document of [
    '',
    'not JSON',
    '<html>sign in</html>',
    'null',
    '7',
    '[]',
    '{}',
    '{"keys":null}',
    '{"keys":{}}',
    '{"keys":[]}',
    '{"keys":[null,7,"x",[],{}]}',
  ]) {
    it(`that are none let nobody in: ${document}`, async () => {
      const entra = startEntra({ document });
      assert.equal(await verdictOn(entra, tokenBy(A, v1Claims())), 'keys-unavailable');
      assert.equal(await verdictOn(entra, tokenBy(A, v1Claims(), { alg: 'none' })), 'algorithm');
      assert.deepEqual(entra.told, [`${keysUrl(TENANT)} failed`]);
    });
  }

  const padded = Buffer.concat([Buffer.alloc(200), Buffer.from(SHORT.jwk.n, 'base64url')]).toString('base64url');
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  for (const [what, jwk, signer] of [
    ['for encryption', { ...A.jwk, use: 'enc' }, A],
    ['for another algorithm', { ...A.jwk, alg: 'RS512' }, A],
    ['for PS256', { ...A.jwk, alg: 'PS256' }, A],
    ['private', { ...A.privateJwk, kid: A.kid }, A],
    ['with one of its factors', { ...A.jwk, p: A.privateJwk.p }, A],
    ['of 1024 bits', SHORT.jwk, SHORT],
    ['of 1024 bits, with zeros before them', { ...SHORT.jwk, n: padded }, SHORT],
    ['of another kind', { ...curve, kid: A.kid }, A],
    ['of another kind, with an RSA key in it', { ...A.jwk, kty: 'oct' }, A],
    ['without an id', { ...A.jwk, kid: undefined }, A],
    ['with an id that is a number', { ...A.jwk, kid: 7 }, A],
    ['without a modulus', { ...A.jwk, n: undefined }, A],
    ['with an empty modulus', { ...A.jwk, n: '' }, A],
    ['with a modulus that is none', { ...A.jwk, n: '!!!' }, A],
    ['without an exponent', { ...A.jwk, e: undefined }, A],
    ['with an exponent that is none', { ...A.jwk, e: '!!!' }, A],
    ['of another tenant', { ...A.jwk, issuer: `https://login.microsoftonline.com/${FOREIGN_TENANT}/v2.0` }, A],
  ] as const) {
    it(`that are published do not count when they are ${what}; others beside them do`, async () => {
      const entra = startEntra({ document: documentOf(jwk, B.jwk) });
      assert.equal(await verdictOn(entra, tokenBy(signer, v1Claims())), 'signature');
      assert.equal(await verdictOn(entra, tokenBy(B, v1Claims())), 'verified');
    });
  }

  it('that are published count beside what is none', async () => {
    const entra = startEntra({ document: documentOf(null, 7, 'x', [], {}, [A.jwk], A.jwk, undefined) });
    assert.equal(await verdictOn(entra, tokenBy(A, v1Claims())), 'verified');
    assert.deepEqual(entra.told, []);
  });

  it('that are published do not count when their exponent is 1: everybody can sign for those', async () => {
    const entra = startEntra({ document: documentOf({ ...A.jwk, e: 'AQ' }, B.jwk) });
    // The signature is the padded digest itself (RFC 8017, section 9.2).
    const sign = (input: string): Buffer => {
      const digest = Buffer.concat([
        Buffer.from('3031300d060960864801650304020105000420', 'hex'),
        createHash('sha256').update(input).digest(),
      ]);
      const padding = Buffer.alloc(256 - 3 - digest.length, 0xff);
      return Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), digest]);
    };
    const token = makeToken({ header: headerFor(A), payload: v1Claims(), sign });
    const key = createPublicKey({ key: { kty: 'RSA', n: A.jwk.n, e: 'AQ' }, format: 'jwk' });
    const [header, payload, signature = ''] = token.split('.');
    const isSigned = verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
    assert.equal(isSigned, true, 'the forgery is a good one');
    assert.equal(await verdictOn(entra, token), 'signature');
    assert.equal(await verdictOn(entra, tokenBy(B, v1Claims())), 'verified');
  });

  for (const [what, jwk] of [
    ['say no use', { ...A.jwk, use: undefined }],
    ['say RS256', { ...A.jwk, alg: 'RS256' }],
    ['bring a certificate', { ...A.jwk, x5t: A.kid, x5c: ['MIIC'] }],
    ['are for every tenant', { ...A.jwk, issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0' }],
    ['are for this tenant', { ...A.jwk, issuer: `https://login.microsoftonline.com/${TENANT}/v2.0` }],
  ] as const) {
    it(`that are published count when they ${what}`, async () => {
      assert.equal(await verdictOn(startEntra({ document: documentOf(jwk) }), tokenBy(A, v1Claims())), 'verified');
    });
  }

  for (const kid of ['__proto__', 'constructor', 'toString', '']) {
    it(`are none of every object: ${JSON.stringify(kid)}`, async () => {
      assert.equal(await verdictOn(startEntra(), tokenBy(A, v1Claims(), { kid })), 'signature');
      const entra = startEntra({ document: documentOf({ ...B.jwk, kid }) });
      assert.equal(await verdictOn(entra, tokenBy(B, v1Claims(), { kid })), 'verified');
      assert.equal(await verdictOn(entra, tokenBy(A, v1Claims(), { kid })), 'signature');
    });
  }
});
