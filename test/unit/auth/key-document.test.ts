import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { fetchKeyDocument, reasonOf } from '../../../app/src/auth/key-document.ts';
import { startKeyServer, type KeyServer } from '../../support/key-server.ts';
import { documentOf, TENANT } from '../../support/tokens.ts';
import { until } from '../../support/until.ts';

const KEY = { jwk: { kty: 'RSA', kid: 'a', n: 'AQAB', e: 'AQAB' } };
const LARGEST_BYTES = 262_144;

/** What went wrong, as the log tells it; fails when nothing did. */
async function reasonFor(url: string): Promise<string> {
  try {
    await fetchKeyDocument(url);
  } catch (error) {
    assert.ok(error instanceof Error);
    return reasonOf(error);
  }
  return assert.fail('it was fetched');
}

/** Puts a signal of the test's in the place of every deadline; gives back how long each was to be. */
async function withDeadline(work: (expire: () => void) => Promise<void>): Promise<readonly number[]> {
  const real = AbortSignal.timeout.bind(AbortSignal);
  const asked: number[] = [];
  const late = new AbortController();
  AbortSignal.timeout = (ms) => {
    asked.push(ms);
    return late.signal;
  };
  try {
    await work(() => late.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')));
  } finally {
    AbortSignal.timeout = real;
  }
  return asked;
}

describe('key document', () => {
  let server: KeyServer;
  let url: string;
  beforeEach(async () => {
    server = await startKeyServer(KEY);
    url = server.urlOf(TENANT);
  });
  afterEach(() => server.close());

  it('is the text of a plain 200', async () => {
    assert.equal(await fetchKeyDocument(url), documentOf(KEY.jwk));
    assert.deepEqual(server.requests, [`/${TENANT}/keys`]);
  });

  it('is read whole from many pieces, and from a compressed answer', async () => {
    const body = documentOf('ключ'.repeat(20_000));
    server.answerWith({ body });
    assert.equal(await fetchKeyDocument(url), body);
    server.answerWith({ body: gzipSync(body), headers: { 'content-encoding': 'gzip' } });
    assert.equal(await fetchKeyDocument(url), body);
  });

  for (const status of [201, 204, 400, 401, 404, 429, 500, 503]) {
    it(`is no other answer: ${status}`, async () => {
      server.answerWith({ status });
      assert.equal(await reasonFor(url), `it answered ${status}`);
    });
  }

  for (const status of [301, 302, 303, 307, 308]) {
    it(`is nowhere else than the settings say: a redirect (${status}) is not followed`, async () => {
      const other = await startKeyServer(KEY);
      try {
        server.answerWith({ status, headers: { location: other.urlOf(TENANT) } });
        assert.equal(await reasonFor(url), 'unexpected redirect');
        assert.deepEqual(other.requests, []);
        assert.equal(server.requests.length, 1);
      } finally {
        await other.close();
      }
    });
  }

  it('may be as large as the bound, and not larger', async () => {
    server.answerWith({ body: 'x'.repeat(LARGEST_BYTES) });
    assert.equal((await fetchKeyDocument(url)).length, LARGEST_BYTES);
    server.answerWith({ body: 'x'.repeat(LARGEST_BYTES + 1) });
    assert.equal(await reasonFor(url), `its answer is larger than ${LARGEST_BYTES} bytes`);
  });

  it('may not grow beyond the bound when it is unpacked', async () => {
    const body = gzipSync(Buffer.alloc(50_000_000));
    assert.ok(body.length < LARGEST_BYTES);
    server.answerWith({ body, headers: { 'content-encoding': 'gzip' } });
    assert.equal(await reasonFor(url), `its answer is larger than ${LARGEST_BYTES} bytes`);
  });

  it('has an end: an endless one is given up, and its connection closed', async () => {
    server.answerWith('endless');
    assert.equal(await reasonFor(url), `its answer is larger than ${LARGEST_BYTES} bytes`);
    await until(() => server.openSockets === 0);
  });

  it('does not come from a refusal either, and an endless one of those is given up too', async () => {
    server.answerWith({ status: 500, body: 'x'.repeat(5_000_000) });
    assert.equal(await reasonFor(url), 'it answered 500');
    await until(() => server.openSockets === 0);
  });

  for (const answer of ['held', 'stalled'] as const) {
    it(`comes within 5 s or not at all: ${answer}`, async () => {
      server.answerWith(answer);
      const asked = await withDeadline(async (expire) => {
        const reason = reasonFor(url);
        await until(() => server.requests.length === 1);
        expire();
        assert.equal(await reason, 'no answer within 5000 ms');
        await until(() => server.openSockets === 0);
      });
      assert.deepEqual(asked, [5000]);
    });
  }

  it('cannot be had where nothing listens', async () => {
    await server.stopListening();
    assert.equal(await reasonFor(url), 'ECONNREFUSED');
    await server.listenAgain();
    assert.equal(await fetchKeyDocument(url), documentOf(KEY.jwk));
  });

  it('cannot be had where the connection breaks off', async () => {
    server.answerWith('reset');
    assert.match(await reasonFor(url), /^(?:UND_ERR_SOCKET|ECONNRESET)$/);
  });

  it('cannot be had over TLS where none is spoken', async () => {
    assert.match(await reasonFor(url.replace('http:', 'https:')), /^(?:EPROTO|ERR_SSL_\w+)$/);
  });
});

describe('key document: the reason for the log', () => {
  for (const [error, reason] of [
    [new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ENOTFOUND' }) }), 'ENOTFOUND'],
    [new TypeError('fetch failed', { cause: new Error('unexpected redirect') }), 'unexpected redirect'],
    [new TypeError('fetch failed', { cause: 'odd' }), 'fetch failed'],
    [new Error('it answered 500'), 'it answered 500'],
    [new DOMException('x', 'TimeoutError'), 'no answer within 5000 ms'],
    ['a text', 'unknown'],
    [undefined, 'unknown'],
  ] as const) {
    it(`is ${reason}: ${String(error)}`, () => {
      assert.equal(reasonOf(error), reason);
    });
  }
});
