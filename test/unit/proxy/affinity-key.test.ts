import assert from 'node:assert/strict';
import { AFFINITY_MEMBERS, affinityKeyOf, type Affinity } from '../../../app/src/proxy/affinity-key.ts';
import { findMembers } from '../../../app/src/proxy/json-members.ts';

function keyOf(affinity: Affinity, value: Readonly<Record<string, unknown>>, space?: number): string | undefined {
  const body = Buffer.from(JSON.stringify(value, null, space));
  const members = findMembers(body, new Set(AFFINITY_MEMBERS));
  assert.ok(members !== undefined);
  return affinityKeyOf(affinity, members, body);
}

/** A chat that begins with a prompt of so many characters. */
function chat(system: string, question: string): Readonly<Record<string, unknown>> {
  return {
    model: 'gpt',
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: question },
    ],
  };
}

const LONG = 'x'.repeat(5000);

describe('the key of affinity', () => {
  it('is none where there is no affinity', () => {
    assert.equal(keyOf('off', { ...chat(LONG, 'a'), user: 'u', prompt_cache_key: 'k' }), undefined);
  });

  it('is the same for prompts that begin alike, whatever follows and comes beside', () => {
    const key = keyOf('prefix', chat(LONG, 'one'));
    assert.match(key ?? '', /^prefix \S+$/);
    assert.equal(keyOf('prefix', { ...chat(LONG, 'another one'), temperature: 1 }), key);
    assert.notEqual(keyOf('prefix', chat(`y${LONG}`, 'one')), key);
  });

  it('is none for prompts that are too short to be kept', () => {
    assert.equal(keyOf('prefix', chat('short', 'one')), undefined);
    assert.equal(keyOf('prefix', {}), undefined);
    const messages = (length: number) => ({ messages: 'm'.repeat(length - 2) });
    assert.equal(keyOf('prefix', messages(4095)), undefined);
    assert.notEqual(keyOf('prefix', messages(4096)), undefined);
  });

  it('reads instructions before the input, and either alone', () => {
    const key = keyOf('prefix', { input: 'Hello', instructions: LONG });
    assert.equal(keyOf('prefix', { instructions: LONG, input: 'Good bye' }), key);
    for (const name of ['instructions', 'messages', 'input', 'prompt']) {
      assert.notEqual(keyOf('prefix', { [name]: LONG }), undefined, name);
    }
  });

  it('puts the pieces together: two halves make a whole', () => {
    const half = 'h'.repeat(2100);
    assert.equal(keyOf('prefix', { input: half }), undefined);
    assert.notEqual(keyOf('prefix', { instructions: half, input: half }), undefined);
  });

  it('is what the request says belongs together, before all else', () => {
    const named = { ...chat(LONG, 'one'), user: 'somebody', prompt_cache_key: 'room 7' };
    const key = keyOf('prefix', named);
    assert.equal(keyOf('user', { prompt_cache_key: 'room 7' }), key);
    assert.notEqual(keyOf('prefix', chat(LONG, 'one')), key);
  });

  it('is the user where users are asked for, and nowhere else', () => {
    const key = keyOf('user', { user: 'somebody' });
    assert.equal(keyOf('user', { ...chat(LONG, 'one'), user: 'somebody' }), key);
    assert.notEqual(keyOf('user', { user: 'else' }), key);
    assert.notEqual(keyOf('user', { prompt_cache_key: 'somebody' }), key);
    assert.equal(keyOf('prefix', { user: 'somebody' }), undefined);
    assert.equal(keyOf('user', chat(LONG, 'one')), undefined);
  });

  it('tells nobody who it is', () => {
    assert.doesNotMatch(keyOf('user', { user: 'somebody' }) ?? 'somebody', /somebody/);
  });

  it('is none for what is empty or no text', () => {
    for (const user of ['', 7, null, ['a']]) assert.equal(keyOf('user', { user }), undefined, String(user));
  });
});
