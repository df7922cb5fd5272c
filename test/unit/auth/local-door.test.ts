import assert from 'node:assert/strict';
import { isLocal } from '../../../app/src/auth/local-door.ts';

const HOST = 'localhost:8080';

describe('the local door', () => {
  for (const host of [
    'localhost',
    'localhost:8080',
    'LOCALHOST:8080',
    '127.0.0.1',
    '127.0.0.1:65535',
    '127.9.8.7:1',
    '[::1]',
    '[::1]:8080',
  ]) {
    it(`is open under a name of this machine: ${host}`, () => {
      assert.equal(isLocal({ host }), true);
    });
  }

  for (const host of [
    undefined,
    '',
    ':8080',
    'balancer.example',
    'localhost.evil.example',
    'evil.example:127',
    'localhost.',
    'xlocalhost',
    'localhost:8080:8080',
    'localhost:123456',
    'localhost:x',
    '127.0.0.1.evil.example',
    '127.0.0.1@evil.example',
    '127.0.0.1, evil.example',
    '127.0.0.1 ',
    '127.0.0.1/',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '0.0.0.0:8080',
    '10.0.0.7:8080',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::1].evil.example',
    'my-8080.app.github.dev',
  ]) {
    it(`is closed under any other: ${host}`, () => {
      assert.equal(isLocal(host === undefined ? {} : { host }), false);
    });
  }

  for (const name of [
    'forwarded',
    'via',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-forwarded-port',
    'x-forwarded-prefix',
    'x-real-ip',
    'x-client-ip',
    'x-cluster-client-ip',
    'true-client-ip',
    'cf-connecting-ip',
    'x-original-host',
  ] as const) {
    it(`is closed to what was forwarded, whatever it says: ${name}`, () => {
      for (const value of ['203.0.113.7', '127.0.0.1', '']) assert.equal(isLocal({ host: HOST, [name]: value }), false);
      assert.equal(isLocal({ host: HOST, [name]: '127.0.0.1', origin: 'http://localhost:8080' }), false);
    });
  }

  for (const origin of [
    'http://localhost:8080',
    'http://localhost:3000',
    'http://127.0.0.1:3000',
    'https://localhost',
    'http://[::1]:8080',
  ]) {
    it(`is open to a page of this machine, wherever on it: ${origin}`, () => {
      assert.equal(isLocal({ host: HOST, origin }), true);
      for (const site of ['same-origin', 'same-site', 'cross-site']) {
        assert.equal(isLocal({ host: HOST, origin, 'sec-fetch-site': site }), true);
      }
    });
  }

  for (const origin of [
    'https://evil.example',
    'http://localhost.evil.example',
    'http://localhost@evil.example',
    'http://evil.example/localhost',
    'http://evil.example#http://localhost',
    'http://localhost:8080/path',
    'http://localhost:8080, https://evil.example',
    'null',
    '',
    'file://',
    'chrome-extension://localhost',
    'localhost:8080',
  ]) {
    it(`is closed to a page of another site: ${origin}`, () => {
      assert.equal(isLocal({ host: HOST, origin }), false);
      for (const site of ['same-origin', 'same-site', 'none', 'cross-site']) {
        assert.equal(isLocal({ host: HOST, origin, 'sec-fetch-site': site }), false);
      }
    });
  }

  for (const [site, isOpen] of [
    ['same-origin', true],
    ['same-site', true],
    ['none', true],
    ['cross-site', false],
    ['Same-Origin', false],
    ['', false],
    ['anything', false],
  ] as const) {
    it(`is ${isOpen ? 'open' : 'closed'} to a link or an image of a page whose site is said to be: ${site}`, () => {
      assert.equal(isLocal({ host: HOST, 'sec-fetch-site': site }), isOpen);
    });
  }

  it('is not opened by a near site under another name', () => {
    assert.equal(isLocal({ host: 'rebound.example:8080', 'sec-fetch-site': 'same-origin' }), false);
    assert.equal(
      isLocal({ host: 'rebound.example', origin: 'http://rebound.example', 'sec-fetch-site': 'same-origin' }),
      false,
    );
    assert.equal(isLocal({ host: 'rebound.example', origin: 'http://localhost:8080' }), false);
  });
});
