import assert from 'node:assert/strict';
import { createClientAuth, type Identified } from '../../../app/src/auth/client-auth.ts';
import type { EntraIdentity, Verdict } from '../../../app/src/auth/entra-tokens.ts';
import { createKeyCheck } from '../../../app/src/auth/key-check.ts';
import { APP, OBJECT } from '../../support/tokens.ts';

const GOOD = 'eyJhbGciOiJSUzI1NiJ9.Z29vZA.AA';
const OTHER = 'eyJhbGciOiJSUzI1NiJ9.b3RoZXI.AA';
const BAD = 'eyJhbGciOiJSUzI1NiJ9.YmFk.AA';
const WORSE = 'eyJhbGciOiJSUzI1NiJ9.d29yc2U.AA';
const KEY = 'a-long-random-key';

const APPLICATION: EntraIdentity = { applicationId: APP, objectId: OBJECT, isPerson: false };
const ELSE = { applicationId: '99999999-0000-4000-8000-000000000000', isPerson: false };

const VERDICTS: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  [GOOD, { kind: 'verified', identity: APPLICATION }],
  [OTHER, { kind: 'verified', identity: ELSE }],
  [BAD, { kind: 'refused', problem: { why: 'signature' } }],
  [WORSE, { kind: 'refused', problem: { why: 'keys-unavailable' } }],
]);

function verdictOn(token: string): Verdict {
  return VERDICTS.get(token) ?? assert.fail(`asked about ${token}`);
}

function bearer(text: string): string {
  return `Bearer ${text}`;
}

function tokenProblem(why: 'signature' | 'keys-unavailable' | 'not-accepted'): Identified {
  return { kind: 'token', problem: { why } };
}

const client = (name: string): Identified => ({ kind: 'client', name });
const checkKey = createKeyCheck([{ name: 'team-a', key: KEY }]);

for (const [when, verifyToken] of [
  ['at once', verdictOn],
  ['after a while', (token: string) => Promise.resolve(verdictOn(token))],
] as const) {
  describe(`client auth: tokens whose verdict comes ${when}`, () => {
    const identify = createClientAuth({ checkKey, verifyToken });

    for (const [what, headers, expected] of [
      ['a good one in api-key', { 'api-key': GOOD }, client(APP)],
      ['a good one as Bearer', { authorization: bearer(GOOD) }, client(APP)],
      ['a bad one', { 'api-key': BAD }, tokenProblem('signature')],
      ['a bad one and a good one', { 'api-key': BAD, authorization: bearer(GOOD) }, client(APP)],
      ['a good one and a bad one', { 'api-key': GOOD, authorization: bearer(BAD) }, client(APP)],
      ['two good ones: the first', { 'api-key': OTHER, authorization: bearer(GOOD) }, client(ELSE.applicationId)],
      ['two bad ones: the first', { 'api-key': BAD, authorization: bearer(WORSE) }, tokenProblem('signature')],
      ['two bad ones, turned', { 'api-key': WORSE, authorization: bearer(BAD) }, tokenProblem('keys-unavailable')],
      ['a key that is not known and a good one', { 'api-key': 'x', authorization: bearer(GOOD) }, client(APP)],
      ['a good one and a key that is not known', { 'api-key': GOOD, authorization: bearer('x') }, client(APP)],
      ['a bad one and a key', { 'api-key': BAD, authorization: bearer(KEY) }, client('team-a')],
      ['a key and a bad one', { 'api-key': KEY, authorization: bearer(BAD) }, client('team-a')],
      [
        'a good one and a key: keys are looked at first',
        { 'api-key': GOOD, authorization: bearer(KEY) },
        client('team-a'),
      ],
      [
        'a bad one and a key that is not known',
        { 'api-key': BAD, authorization: bearer('x') },
        tokenProblem('signature'),
      ],
      ['a key that is not known', { 'api-key': 'x' }, { kind: 'unknown' }],
      ['nothing', {}, { kind: 'missing' }],
    ] as const) {
      it(`knows ${what}`, async () => {
        assert.deepEqual(await identify(headers), expected);
      });
    }
  });
}

describe('client auth: tokens', () => {
  it('are known at once when their verdict is', () => {
    const identify = createClientAuth({ checkKey, verifyToken: verdictOn });
    assert.deepEqual(identify({ 'api-key': GOOD }), client(APP));
    assert.deepEqual(identify({ 'api-key': BAD }), tokenProblem('signature'));
  });

  it('are not looked at when a key is right, or when what was sent has not their form', () => {
    const identify = createClientAuth({ checkKey, verifyToken: () => assert.fail('asked') });
    assert.deepEqual(identify({ 'api-key': GOOD, authorization: bearer(KEY) }), client('team-a'));
    assert.deepEqual(identify({ 'api-key': 'eyJhbGciOiJub25lIn0.e30' }), { kind: 'unknown' });
  });

  it('are looked at in a third place too, where there is one', async () => {
    const more = (): string => GOOD;
    assert.deepEqual(await createClientAuth({ checkKey, verifyToken: verdictOn, more })({}), client(APP));
    assert.deepEqual(createClientAuth({ checkKey, more: () => KEY })({}), client('team-a'));
    const all = createClientAuth({ checkKey, verifyToken: verdictOn, more });
    assert.deepEqual(await all({ 'api-key': BAD, authorization: bearer(WORSE) }), client(APP));
  });

  it('are not accepted where there is no tenant: that is said, and keys still count', () => {
    const identify = createClientAuth({ checkKey });
    assert.deepEqual(identify({ 'api-key': GOOD }), tokenProblem('not-accepted'));
    assert.deepEqual(identify({ 'api-key': GOOD, authorization: bearer(KEY) }), client('team-a'));
  });
});

describe('client auth: who of a tenant may call', () => {
  const PERSON: EntraIdentity = { ...APPLICATION, isPerson: true };

  async function identified(identity: EntraIdentity, allowed?: ReadonlyMap<string, string>): Promise<Identified> {
    const verifyToken = (): Verdict => ({ kind: 'verified', identity });
    const parts = { checkKey, verifyToken, ...(allowed === undefined ? {} : { allowed }) };
    return createClientAuth(parts)({ 'api-key': GOOD });
  }

  it('is everybody without a list: applications by their own id, people by theirs', async () => {
    assert.deepEqual(await identified(APPLICATION), client(APP));
    assert.deepEqual(await identified(PERSON), client(OBJECT));
    assert.deepEqual(await identified({ applicationId: APP, isPerson: true }), client(APP));
  });

  it('is who is on the list, by object id or application id, under the name that it has there', async () => {
    for (const identity of [APPLICATION, PERSON]) {
      assert.deepEqual(await identified(identity, new Map([[APP, 'chat-app']])), client('chat-app'));
      assert.deepEqual(await identified(identity, new Map([[OBJECT, 'ada']])), client('ada'));
    }
    const both = new Map([
      [APP, 'chat-app'],
      [OBJECT, 'ada'],
    ]);
    assert.deepEqual(await identified(PERSON, both), client('ada'));
  });

  it('is nobody else, who is told who they are', async () => {
    const allowed = new Map([[ELSE.applicationId, 'other']]);
    assert.deepEqual(await identified(APPLICATION, allowed), { kind: 'not-allowed', name: APP });
    assert.deepEqual(await identified(PERSON, allowed), { kind: 'not-allowed', name: OBJECT });
    const noObject = { applicationId: APP, isPerson: false };
    assert.deepEqual(await identified(noObject, allowed), { kind: 'not-allowed', name: APP });
  });

  it('is nobody when the list is empty', async () => {
    assert.deepEqual(await identified(APPLICATION, new Map()), { kind: 'not-allowed', name: APP });
  });

  it('is asked of each of two tokens: one that is allowed is enough', async () => {
    const allowed = new Map([[APP, 'chat-app']]);
    const identify = createClientAuth({ checkKey, verifyToken: verdictOn, allowed });
    const notAllowed = { kind: 'not-allowed', name: ELSE.applicationId };
    assert.deepEqual(await identify({ 'api-key': OTHER, authorization: bearer(GOOD) }), client('chat-app'));
    assert.deepEqual(await identify({ 'api-key': GOOD, authorization: bearer(OTHER) }), client('chat-app'));
    assert.deepEqual(await identify({ 'api-key': OTHER, authorization: bearer(BAD) }), notAllowed);
    assert.deepEqual(await identify({ 'api-key': BAD, authorization: bearer(OTHER) }), tokenProblem('signature'));
  });
});
