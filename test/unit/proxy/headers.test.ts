import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import * as fc from 'fast-check';
import {
  callerHeaders,
  headersSeen,
  UPSTREAM_HEADERS,
  upstreamHeaders,
  type Credential,
} from '../../../app/src/proxy/headers.ts';

const KEY: Credential = { header: 'api-key', value: 'backend-key' };
const TOKEN: Credential = { header: 'authorization', value: 'Bearer backend-token' };
const HOST = 'one.openai.azure.com';
const ID = 'abc-1';

describe('headers: upstream', () => {
  it('are the allow-list, ours, and one credential', () => {
    const sent = Object.fromEntries(UPSTREAM_HEADERS.map((name) => [name, `value-of-${name}`]));
    assert.deepEqual(upstreamHeaders(sent, HOST, KEY, 12, ID), {
      host: HOST,
      'content-type': 'value-of-content-type',
      accept: 'value-of-accept',
      'openai-beta': 'value-of-openai-beta',
      traceparent: 'value-of-traceparent',
      tracestate: 'value-of-tracestate',
      'x-ms-client-request-id': 'value-of-x-ms-client-request-id',
      'x-ms-spillover-deployment': 'value-of-x-ms-spillover-deployment',
      'idempotency-key': 'value-of-idempotency-key',
      'accept-encoding': 'identity',
      'content-length': '12',
      'api-key': 'backend-key',
    });
  });

  it("never carry the caller's credential, cookies or connection, whatever else they ask", () => {
    const sent = {
      host: 'balancer.example.com',
      'api-key': 'client-key',
      authorization: 'Bearer client-key',
      'proxy-authorization': 'Basic x',
      cookie: 'session=1',
      'ocp-apim-subscription-key': 'client-key',
      'x-api-key': 'client-key',
      'accept-encoding': 'gzip',
      'content-length': '99',
      'transfer-encoding': 'chunked',
      connection: 'keep-alive, api-key',
      upgrade: 'h2c',
      expect: '100-continue',
      te: 'trailers',
      'x-forwarded-for': '10.0.0.1',
      forwarded: 'for=10.0.0.1',
      origin: 'https://example.com',
      'user-agent': 'test',
      'x-balancer-backend': 'openai1',
    };
    assert.deepEqual(upstreamHeaders(sent, HOST, TOKEN, undefined, ID), {
      host: HOST,
      'x-ms-client-request-id': ID,
      'accept-encoding': 'identity',
      authorization: 'Bearer backend-token',
    });
    const withKey = upstreamHeaders(sent, HOST, KEY, undefined, ID);
    assert.equal(withKey['api-key'], 'backend-key');
    assert.equal(withKey['authorization'], undefined);
  });

  it('are not those that the caller names in Connection, which end here', () => {
    const sent = {
      connection: 'close, TraceParent ,accept',
      traceparent: '00-1-1-00',
      accept: '*/*',
      tracestate: 'a=b',
    };
    assert.deepEqual(upstreamHeaders(sent, HOST, KEY, undefined, ID), {
      host: HOST,
      tracestate: 'a=b',
      'x-ms-client-request-id': ID,
      'accept-encoding': 'identity',
      'api-key': 'backend-key',
    });
  });

  const named: readonly (readonly [string, IncomingHttpHeaders, string])[] = [
    ['that of Azure first', { 'x-ms-client-request-id': 'a', 'x-request-id': 'b', 'x-client-request-id': 'c' }, 'a'],
    ['then the usual one', { 'x-request-id': 'b', 'x-client-request-id': 'c' }, 'b'],
    ['then that of OpenAI', { 'x-client-request-id': '0b4e:77/f.=_-' }, '0b4e:77/f.=_-'],
    ['not one that ends here', { connection: 'x-ms-client-request-id', 'x-ms-client-request-id': 'a' }, ID],
    ['not a long one', { 'x-ms-client-request-id': 'a'.repeat(129), 'x-request-id': 'b' }, 'b'],
    ['one of 128 characters', { 'x-ms-client-request-id': 'a'.repeat(128) }, 'a'.repeat(128)],
    ['not one with blanks', { 'x-request-id': 'a request_id=forged' }, ID],
    ['not one with quotes', { 'x-request-id': '"a"' }, ID],
    ['not one that is not ASCII', { 'x-request-id': 'ü' }, ID],
    ['not an empty one', { 'x-request-id': '' }, ID],
    ['not two', { 'x-request-id': 'a, b' }, ID],
  ];
  for (const [what, sent, passedOn] of named) {
    it(`name the request as its caller does, else as we do: ${what}`, () => {
      const headers = upstreamHeaders(sent, HOST, KEY, 0, ID);
      assert.equal(headers['x-ms-client-request-id'], passedOn);
      assert.equal(headers['x-request-id'], undefined);
    });
  }

  it('say the length of the body that is sent, 0 included, and none without a body', () => {
    assert.equal(upstreamHeaders({}, HOST, KEY, 0, ID)['content-length'], '0');
    assert.ok(!('content-length' in upstreamHeaders({}, HOST, KEY, undefined, ID)));
  });

  it('are only from the list, whatever a caller sends', () => {
    const allowed = new Set([...UPSTREAM_HEADERS, 'host', 'accept-encoding', 'content-length', 'authorization']);
    const names = fc.oneof(
      fc.constantFrom(...UPSTREAM_HEADERS, 'api-key', 'authorization', 'cookie', 'set-cookie'),
      fc.string(),
    );
    const value = fc.oneof(fc.string(), fc.array(fc.string()), fc.constant(undefined));
    fc.assert(
      fc.property(fc.dictionary(names, value), (sent) => {
        const headers = upstreamHeaders(sent, HOST, TOKEN, 1, ID);
        for (const [name, text] of Object.entries(headers)) {
          assert.ok(allowed.has(name), name);
          assert.equal(typeof text, 'string');
        }
        assert.equal(headers['authorization'], 'Bearer backend-token');
        assert.equal(headers['host'], HOST);
      }),
    );
  });
});

describe('headers: to the caller', () => {
  it('are as the backend wrote them, in order, repeated ones too', () => {
    const raw = [
      'Content-Type',
      'application/json',
      'X-Request-ID',
      '1',
      'Via',
      'a',
      'Via',
      'b',
      'apim-request-id',
      'x',
      'Date',
      'now',
    ];
    assert.deepEqual(callerHeaders(raw), raw);
  });

  it('are not those of the connection or the site, in any case', () => {
    const raw = [
      'Connection',
      'keep-alive',
      'KEEP-ALIVE',
      'timeout=5',
      'Proxy-Connection',
      'x',
      'proxy-authenticate',
      'Basic',
      'TE',
      'trailers',
      'Trailer',
      'x',
      'Transfer-Encoding',
      'chunked',
      'upgrade',
      'h2c',
      'Content-Length',
      '12',
      'Set-Cookie',
      'a=b',
      'Strict-Transport-Security',
      'max-age=1',
      'Alt-Svc',
      'h3',
    ];
    assert.deepEqual(callerHeaders([...raw, 'retry-after', '1']), ['retry-after', '1']);
  });

  it('are not those that Connection names, wherever it stands', () => {
    assert.deepEqual(
      callerHeaders([
        'X-Hop',
        '1',
        'Connection',
        'close, x-hop ,X-Other',
        'x-other',
        '2',
        'X-Stays',
        '3',
        'connection',
        'x-more',
        'X-More',
        '4',
      ]),
      ['X-Stays', '3'],
    );
    assert.deepEqual(callerHeaders(['Connection', 'close', 'close', '1']), ['close', '1']);
    assert.deepEqual(callerHeaders(['X-Hop', '1', 'Connection', 'x-hop']), []);
  });

  it('are not those that only we may say', () => {
    assert.deepEqual(
      callerHeaders([
        'x-balancer-backend',
        'evil',
        'X-Balancer-Attempts',
        '9',
        'x-balancer-',
        '',
        'X-BALANCER-TRACE',
        'x',
        'x-balance',
        '1',
      ]),
      ['x-balance', '1'],
    );
  });

  it('are none of none', () => {
    assert.deepEqual(callerHeaders([]), []);
    assert.deepEqual(callerHeaders(['odd']), []);
  });
});

describe('headers: what they tell the pool', () => {
  const seen = (status: number, headers: Readonly<Record<string, string>>) =>
    headersSeen({ status, header: (name) => headers[name] });

  it('is what is left of a quota, and whether it is that of a refusal', () => {
    const quota = { remainingTokens: 7 };
    const headers = { 'x-ratelimit-remaining-tokens': '7' };
    assert.deepEqual(seen(200, headers), { kind: 'headers', quota, isRefused: false });
    assert.deepEqual(seen(429, headers), { kind: 'headers', quota, isRefused: true });
    assert.deepEqual(seen(429, {}), { kind: 'headers' });
  });
});
