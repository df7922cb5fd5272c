import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { createClientAuth } from '../../../app/src/auth/client-auth.ts';
import { credentialsOf, isTokenLike, passwordOf } from '../../../app/src/auth/credentials.ts';
import { createKeyCheck } from '../../../app/src/auth/key-check.ts';
import { isLocal } from '../../../app/src/auth/local-door.ts';
import { longestWaitMs } from '../../../app/src/proxy/hold.ts';
import { bytesOf, type Target, wordsOf } from '../target.ts';
import { headersIn } from './waits.ts';

const KEYS = [
  { name: 'a', key: 'key-of-a' },
  { name: 'b', key: 'Key+/of=b' },
];
const identify = createClientAuth({ checkKey: createKeyCheck(KEYS), more: passwordOf });

/** Header lines as Node gives them, in small letters. */
function headersOf(bytes: Buffer): IncomingHttpHeaders {
  return Object.fromEntries(headersIn(bytes));
}

export const credentials: Target = {
  name: 'credentials',
  property:
    'somebody is a client only who sent one of its keys, whole and as it is; what is taken for a credential was sent as one',
  samples: bytesOf(
    'api-key: key-of-a',
    'authorization: Bearer key-of-a\napi-key: placeholder',
    'authorization: bearer   Key+/of=b  ',
    `authorization: Basic ${Buffer.from('user:key-of-a').toString('base64')}`,
    'authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.AA',
    'api-key: eyJ.a.b.c.d',
  ),
  words: [
    ...wordsOf(
      'api-key: ¦authorization: ¦Bearer ¦bearer¦Basic ¦Digest ¦ ¦\t¦,¦\n¦=¦key-of-a¦key-of-b¦:¦eyJ¦.¦.e30.',
      '\u00A0',
    ),
    ...bytesOf(Buffer.from(':key-of-a').toString('base64'), Buffer.from('a:b:key-of-a').toString('base64')),
  ],
  async check(bytes) {
    const headers = headersOf(bytes);
    const { 'api-key': apiKey = '', authorization = '' } = headers;
    const sent = credentialsOf(headers);
    for (const text of sent) {
      assert.ok(text !== '' && (text === apiKey || (/^bearer /i.test(authorization) && authorization.includes(text))));
    }
    const password = passwordOf(headers);
    if (password !== undefined) {
      const decoded = Buffer.from(/\S+ *$/.exec(authorization)?.[0] ?? '', 'base64').toString('utf8');
      assert.ok(password !== '' && /^basic /i.test(authorization) && decoded.endsWith(`:${password}`));
    }
    const client = await identify(headers);
    const shown = new Set([apiKey, authorization.replace(/^bearer +/i, '').trimEnd(), password]);
    const owner = KEYS.find(({ key }) => shown.has(key));
    if (client.kind === 'client') assert.ok(KEYS.some(({ name, key }) => name === client.name && shown.has(key)));
    else assert.ok(owner === undefined || !/^(?:bearer +|basic +)/i.test(authorization));
    for (const text of sent) {
      if (isTokenLike(text)) assert.match(text, /^eyJ[A-Za-z0-9_.-]*$/);
    }
    return client.kind;
  },
};

const SITES: ReadonlySet<unknown> = new Set(['same-origin', 'same-site', 'none']);

export const localDoor: Target = {
  name: 'callers of this machine',
  property:
    'where nothing is locked only they are let in whose Host, and Origin if any, a parser of URLs takes for a loopback name, and who were not forwarded',
  samples: bytesOf(
    'host: localhost:8080',
    'host: 127.0.0.1\norigin: http://localhost:3000',
    'host: [::1]:8080\nsec-fetch-site: same-origin',
    'host: example.com\norigin: null',
    'host: localhost\nx-forwarded-for: 1.2.3.4',
    'host: localhost\norigin: https://evil.example',
  ),
  words: wordsOf(
    'host: ¦origin: ¦\n¦:¦.¦@¦/¦#¦?¦[¦]¦localhost¦127.0.0.1¦127.1¦[::1]¦::ffff:127.0.0.1¦0x7f.1',
    'evil.example¦.localhost¦localhost.¦http://¦https://¦null¦forwarded: for=x¦x-real-ip: 1¦via: 1.1 x¦:80',
    '%2e¦sec-fetch-site: cross-site¦sec-fetch-site: none¦x-forwarded-host: a¦cf-connecting-ip: a¦999',
  ),
  check(bytes) {
    const headers = headersOf(bytes);
    const { host, origin, 'sec-fetch-site': site } = headers;
    if (!isLocal(headers)) return 'refused';
    assert.ok(namesLoopback(`http://${host}/`), host);
    if (origin !== undefined) assert.ok(namesLoopback(origin), origin);
    else assert.ok(site === undefined || SITES.has(site));
    for (const name of ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'cf-connecting-ip']) {
      assert.ok(!(name in headers), name);
    }
    return `let in ${origin === undefined ? String(site) : 'with an origin'}`;
  },
};

/** What no parser of URLs can read is no address of anybody. */
function namesLoopback(url: string): boolean {
  if (!URL.canParse(url)) return true;
  return /^(?:localhost|\[::1\]|127(?:\.\d{1,3}){3})$/.test(new URL(url).hostname);
}

export const hold: Target = {
  name: 'waits that callers ask for',
  property: 'a wait is a whole number of milliseconds as it was written, or refused',
  samples: bytesOf('0', '500', '999999999'),
  words: bytesOf('0', '9', '-1', '+1', '1e3', ' ', '.', ',', '0x1', 'Infinity', '500, 500', '\n'),
  check(bytes) {
    const text = bytes.toString('latin1');
    const ms = longestWaitMs(text);
    if (ms === undefined) {
      assert.ok(!/^[0-9]{1,9}$/.test(text) || text.includes('\n'));
      return 'refused';
    }
    assert.ok(Number.isSafeInteger(ms) && ms >= 0);
    assert.equal(text.padStart(9, '0'), String(ms).padStart(9, '0'));
    return `${text.length} digits`;
  },
};
