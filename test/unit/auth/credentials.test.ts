import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import * as fc from 'fast-check';
import { credentialsOf, isTokenLike, passwordOf } from '../../../app/src/auth/credentials.ts';
import { signingKey, tokenBy, v1Claims } from '../../support/tokens.ts';

const SENT: readonly (readonly [what: string, headers: IncomingHttpHeaders, texts: readonly string[]])[] = [
  ['nothing', {}, []],
  ['api-key', { 'api-key': 'a' }, ['a']],
  ['a bearer', { authorization: 'Bearer a' }, ['a']],
  ['a bearer in small letters, with more spaces', { authorization: 'bearer   a  ' }, ['a']],
  ['both, api-key first', { 'api-key': 'a', authorization: 'Bearer b' }, ['a', 'b']],
  ['the same in both', { 'api-key': 'a', authorization: 'Bearer a' }, ['a', 'a']],
  ['an empty api-key and a bearer', { 'api-key': '', authorization: 'Bearer b' }, ['b']],
  ['an empty bearer', { authorization: 'Bearer ' }, []],
  ['a bearer without a space', { authorization: 'Bearera' }, []],
  ['a bearer after a tab', { authorization: 'Bearer\ta' }, []],
  ['two bearers', { authorization: 'Bearer a b' }, []],
  ['two bearers as HTTP joins them', { authorization: 'Bearer a, Bearer b' }, []],
  ['another scheme', { authorization: 'Basic YTpi' }, []],
  ['a scheme that ends like it', { authorization: 'XBearer a' }, []],
  ['no scheme', { authorization: 'a' }, []],
  ['api-key twice', { 'api-key': ['a', 'b'] }, []],
  ['other headers', { 'x-api-key': 'a', cookie: 'api-key=a', 'proxy-authorization': 'Bearer a' }, []],
];

describe('credentials: what was sent', () => {
  for (const [what, headers, texts] of SENT) {
    it(`is ${texts.length === 0 ? 'nothing' : texts.join(' and ')}: ${what}`, () => {
      assert.deepEqual(credentialsOf(headers), texts);
    });
  }
});

describe('credentials: a password', () => {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

  for (const [what, authorization, password] of [
    ['behind a name', basic('alice:secret'), 'secret'],
    ['without a name', basic(':secret'), 'secret'],
    ['with colons in it', basic('alice:a:b:c'), 'a:b:c'],
    ['with other letters', basic('alice:ключ'), 'ключ'],
    ['in small letters, with more spaces', basic('a:b').replace('Basic ', 'basic   '), 'b'],
    ['that is a whole token', basic('x:eyJhbGciOiJSUzI1NiJ9.e30.AA'), 'eyJhbGciOiJSUzI1NiJ9.e30.AA'],
  ] as const) {
    it(`is what comes after the first colon: ${what}`, () => {
      assert.equal(passwordOf({ authorization }), password);
    });
  }

  for (const [what, authorization] of [
    ['no header', undefined],
    ['no colon', basic('alice')],
    ['an empty password', basic('alice:')],
    ['a bearer', 'Bearer YTpi'],
    ['nothing encoded', 'Basic '],
    ['what is not encoded', 'Basic alice:secret'],
    ['two of them', `${basic('a:b')} ${basic('a:b')}`],
    ['letters of another alphabet', 'Basic YTp-_w=='],
    ['padding in the middle', 'Basic YT=pi'],
  ] as const) {
    it(`is not there: ${what}`, () => {
      assert.equal(passwordOf(authorization === undefined ? {} : { authorization }), undefined);
    });
  }
});

describe('credentials: the form of a token', () => {
  const token = tokenBy(signingKey('key-a'), v1Claims());

  for (const [what, text] of [
    ['a signed one', token],
    ['one without its signature', 'eyJhbGciOiJub25lIn0.eyJ4IjoxfQ.'],
    ['one with empty parts', 'eyJ..'],
    ['four parts', `${token}.a`],
    ['an encrypted one', 'eyJhbGciOiJSU0EifQ.a.b.c.d'],
  ] as const) {
    it(`has ${what}`, () => {
      assert.equal(isTokenLike(text), true);
    });
  }

  for (const [what, text] of [
    ['a key', 'a-long-random-key'],
    ['a key with dots', 'a.long.key'],
    ['a header alone', 'eyJhbGciOiJub25lIn0'],
    ['two parts', 'eyJhbGciOiJub25lIn0.eyJ4IjoxfQ'],
    ['six parts', 'eyJhbGciOiJub25lIn0.a.b.c.d.e'],
    ['one with a space', token.replace('.', '. ')],
    ['one with a line break after it', `${token}\n`],
    ['one with padding', `${token}=`],
    ['one of the other alphabet', token.replace(/\.[^.]*$/, '.a+/b')],
    ['one with a word before it', `Bearer ${token}`],
    ['a header that begins with a space', token.replace(/^eyJ/, 'IHsi')],
    ['nothing', ''],
  ] as const) {
    it(`has not: ${what}`, () => {
      assert.equal(isTokenLike(text), false);
    });
  }

  it('is looked for in no time, whatever is sent', () => {
    const long = [' '.repeat(32_000), '.'.repeat(32_000), `eyJ${'a'.repeat(32_000)}!`, `eyJ${'a.'.repeat(16_000)}`];
    const startedAt = performance.now();
    for (const text of long) {
      isTokenLike(text);
      credentialsOf({ authorization: `Bearer ${text}x x` });
      passwordOf({ authorization: `Basic ${text}` });
    }
    assert.ok(performance.now() - startedAt < 1000);
  });

  it('is told of any text, without an error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(typeof isTokenLike(text), 'boolean');
        const sent = credentialsOf({ 'api-key': text, authorization: text });
        assert.ok(sent.every((one) => one !== ''));
      }),
    );
  });
});
