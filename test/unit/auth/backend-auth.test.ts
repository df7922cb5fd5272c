import assert from 'node:assert/strict';
import { createBackendAuth } from '../../../app/src/auth/backend-auth.ts';
import { TokenError } from '../../../app/src/auth/token-source.ts';
import { backend } from '../../support/pool.ts';

describe('backend auth', () => {
  it('gives a backend its own key, at once and without asking for a token', () => {
    const auth = createBackendAuth(
      new Map([
        ['a', 'key-a'],
        ['b', 'key-b'],
      ]),
      { token: () => assert.fail('asked') },
    );
    assert.deepEqual(auth.credential(backend('a')), { header: 'api-key', value: 'key-a' });
    assert.deepEqual(auth.credential(backend('b')), { header: 'api-key', value: 'key-b' });
  });

  it('gives a backend without a key the token of the identity', async () => {
    const auth = createBackendAuth(new Map([['a', 'key-a']]), { token: () => Promise.resolve('token-1') });
    assert.deepEqual(await auth.credential(backend('b')), { header: 'authorization', value: 'Bearer token-1' });
  });

  it('rejects when the identity gives no token', async () => {
    const auth = createBackendAuth(new Map(), { token: () => Promise.reject(new TokenError('none')) });
    await assert.rejects(async () => auth.credential(backend('a')), TokenError);
  });
});
