import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { createClientAuth } from '../../../app/src/auth/client-auth.ts';
import { createKeyCheck } from '../../../app/src/auth/key-check.ts';

const KEYS = [
  { name: 'team-a', key: 'key-a1' },
  { name: 'team-b', key: 'key-b' },
  { name: 'team-a', key: 'key-a2' },
];
const UNKNOWN = { kind: 'unknown' };
const MISSING = { kind: 'missing' };

function client(name: string): unknown {
  return { kind: 'client', name };
}

describe('client auth: keys', () => {
  const identify = createClientAuth({ checkKey: createKeyCheck(KEYS) });

  it('knows every key of every client, in api-key and as Bearer', () => {
    for (const { name, key } of KEYS) {
      assert.deepEqual(identify({ 'api-key': key }), client(name));
      assert.deepEqual(identify({ authorization: `Bearer ${key}` }), client(name));
      assert.deepEqual(identify({ authorization: `bearer   ${key} ` }), client(name));
    }
  });

  it('looks at both headers: either may hold the key', () => {
    assert.deepEqual(identify({ 'api-key': 'placeholder', authorization: 'Bearer key-b' }), client('team-b'));
    assert.deepEqual(identify({ 'api-key': 'key-b', authorization: 'Bearer placeholder' }), client('team-b'));
    assert.deepEqual(identify({ 'api-key': 'key-a1', authorization: 'Bearer key-b' }), client('team-a'));
    assert.deepEqual(identify({ 'api-key': '', authorization: 'Bearer key-b' }), client('team-b'));
    assert.deepEqual(identify({ 'api-key': 'x', authorization: 'Bearer y' }), UNKNOWN);
  });

  it('does not know keys that are wrong, cut, longer, in another case or of another alphabet', () => {
    for (const key of ['key', 'key-a', 'key-a11', 'KEY-A1', ' key-a1', 'key-a1,key-b', 'ключ', 'x'.repeat(100_000)]) {
      assert.deepEqual(identify({ 'api-key': key }), UNKNOWN, key.slice(0, 20));
    }
  });

  it('knows nobody by name', () => {
    assert.deepEqual(identify({ 'api-key': 'team-a' }), UNKNOWN);
    assert.deepEqual(identify({ 'api-key': 'team-a=key-a1' }), UNKNOWN);
  });

  it('misses a credential when there is none, or it has another form', () => {
    for (const headers of [
      {},
      { 'api-key': '' },
      { authorization: '' },
      { authorization: 'Bearer' },
      { authorization: 'Bearer ' },
      { authorization: 'Basic a2V5LWI=' },
      { authorization: 'key-b' },
      { authorization: 'Bearer key-b key-b' },
      { 'x-api-key': 'key-b' },
      { cookie: 'api-key=key-b' },
      { 'api-key': ['key-b', 'key-b'] },
    ]) {
      assert.deepEqual(identify(headers), MISSING, JSON.stringify(headers));
    }
  });

  it('knows exactly the keys that it was given, whatever is sent', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        const known = KEYS.find(({ key }) => key === text);
        assert.deepEqual(identify({ 'api-key': text }), known === undefined ? UNKNOWN : client(known.name));
      }),
    );
  });
});

describe('client auth: without keys', () => {
  it('lets nobody through a check that has no keys', () => {
    const check = createKeyCheck([]);
    assert.equal(check(''), undefined);
    assert.equal(check('x'), undefined);
  });
});
