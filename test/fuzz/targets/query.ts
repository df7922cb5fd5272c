import assert from 'node:assert/strict';
import { withoutCredentials } from '../../../app/src/proxy/query.ts';
import { bytesOf, type Target, wordsOf } from '../target.ts';

const CREDENTIALS: ReadonlySet<string> = new Set(['api-key', 'subscription-key', 'access_token']);

/** Names of credentials in a query, as a reader of forms finds them. */
export function credentialNames(query: string): readonly string[] {
  return [...new URLSearchParams(`?${query.replace(/^\?/, '')}`).keys()].filter((name) =>
    CREDENTIALS.has(name.toLowerCase()),
  );
}

export const queries: Target = {
  name: 'query strings',
  property:
    'no credential is left, as a reader of forms would find it; every other part stays, in its place and byte for byte',
  samples: bytesOf(
    '?api-version=2024-10-21&api-key=secret&x=1',
    '?%61pi%2dkey=secret',
    '?ACCESS_TOKEN=a&subscription-Key=b',
    '?limit=2&after=a%20b&key=',
    '?',
  ),
  words: wordsOf(
    '?¦&¦=¦&&¦%26¦%3D¦+¦;¦#¦%¦%zz¦%00¦%C5%BF¦ſ¦K¦%E2%84%AA¦\0¦token¦api-key¦api%2Dkey¦API-KEY=1',
    'subscription-key=2¦access_token=3¦access%5ftoken¦api_key=4¦key=5',
  ),
  check(bytes) {
    const query = `?${bytes.toString('latin1')}`;
    const kept = withoutCredentials(query);
    assert.deepEqual(credentialNames(kept), []);
    if (credentialNames(query).length === 0) {
      assert.equal(kept, query);
      return 'as it was';
    }
    const parts = query.slice(1).split('&');
    const expected = parts.filter((part) => credentialNames(`?${part}`).length === 0);
    assert.equal(kept, expected.length === 0 ? '' : `?${expected.join('&')}`);
    return `${Math.min(3, parts.length - expected.length)} of ${Math.min(5, parts.length)} taken out`;
  },
};
