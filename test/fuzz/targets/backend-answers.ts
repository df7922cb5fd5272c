import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { classify } from '../../../app/src/balancer/outcome.ts';
import { callerHeaders, upstreamHeaders } from '../../../app/src/proxy/headers.ts';
import { textOf } from '../../../app/src/proxy/peek.ts';
import { bytesOf, isRecord, parsedJson, type Target, wordsOf } from '../target.ts';

const STATUSES = [400, 400, 400, 404, 401, 403, 404, 408, 409, 413, 422, 500, 503] as const;
const NOT_FOUND = 'Could not find an existing deployment to match the model in the request.';

export const errorBodies: Target = {
  name: 'errors of backends',
  property:
    'a deployment is missing, a prompt too long or an operation not supported only where the code or the beginning of the message of the error says so; no more than 64 KiB of what is compressed are read',
  samples: bytesOf(
    '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}',
    `{"error":{"message":"${NOT_FOUND}","type":"invalid_request_error","param":"model","code":null}}`,
    `{"error":{"message":"You said: ${NOT_FOUND}"}}`,
    '{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"},"message":"Could not"}}',
    '{"error":{"code":"401","message":"x","innererror":{"code":"PermissionDenied"}}}',
    '{"error":{"code":"context_length_exceeded","message":"too long"}}',
    '{"error":{"code":"OperationNotSupported","message":"x"}}',
    '{"error":"DeploymentNotFound"}',
    gzipSync('{"error":{"code":"DeploymentNotFound"}}'),
    gzipSync('x'.repeat(100_000)),
  ),
  words: [
    ...wordsOf(
      '{¦}¦"¦:¦,¦[¦]¦"error":¦"code":¦"innererror":¦"message":¦null¦DeploymentNotFound¦OperationNotSupported',
      'PermissionDenied¦context_length_exceeded¦\\"error\\":¦"__proto__":¦400',
    ),
    ...bytesOf(NOT_FOUND),
  ],
  share: 0.3,
  check(bytes, chance) {
    const status = chance.pick(STATUSES);
    const encoding = chance.pick(['', '', 'gzip', 'deflate', 'br', 'GZIP', 'zstd']);
    const text = textOf(bytes, (name) => (name === 'content-encoding' && encoding !== '' ? encoding : undefined));
    assert.ok(text.length <= Math.max(bytes.length, 65_536));
    const spills = chance.oneIn(2);
    const outcome = classify({ status, header: () => undefined, bodyText: () => text }, 0, spills);
    const parsed = parsedJson(Buffer.from(text))?.value;
    const error = isRecord(parsed) && isRecord(parsed['error']) ? parsed['error'] : {};
    const inner = isRecord(error['innererror']) ? error['innererror'] : {};
    const codes = new Set([error['code'], inner['code']]);
    const message = error['message'];
    if (outcome.kind === 'missing') {
      const isSaid = typeof message === 'string' && /^\W{0,3}could not find an existing deployment\b/i.test(message);
      assert.ok((status === 404 || status === 400) && (codes.has('DeploymentNotFound') || (status === 400 && isSaid)));
    } else if (outcome.kind === 'too-long') {
      assert.ok(spills && status === 400 && codes.has('context_length_exceeded'));
    } else if (outcome.kind === 'unsupported') {
      assert.ok(status === 400 && codes.has('OperationNotSupported'));
    } else if (outcome.kind === 'unauthorized') {
      assert.ok(status === 401 || status === 403);
      const isOfOperation = codes.has('PermissionDenied') && text.includes('"error"');
      assert.equal(outcome.scope, isOfOperation ? 'operation' : 'host');
    } else if (outcome.kind === 'failed') assert.ok(status === 408 || status >= 500);
    else {
      assert.equal(outcome.kind, 'refused');
      assert.ok(status !== 404 || !codes.has('DeploymentNotFound') || !text.startsWith('{"error"'));
    }
    return `${status} ${outcome.kind}`;
  },
};

const NOT_FOR_CALLERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'set-cookie',
  'upgrade',
  'trailer',
  'te',
]);
const ALLOWED = ['content-type', 'accept', 'openai-beta', 'traceparent', 'tracestate', 'x-ms-client-request-id'];
const ALLOWED_UPSTREAM: ReadonlySet<string> = new Set([
  ...ALLOWED,
  'x-ms-spillover-deployment',
  'idempotency-key',
  'host',
  'accept-encoding',
  'content-length',
  'api-key',
]);

export const headerLists: Target = {
  name: 'headers that cross',
  property:
    'no header that belongs to a connection crosses, nor one that Connection names; all others of an answer do, in order and unchanged, and ours are the last; upstream go those that are allowed, and one credential',
  samples: bytesOf(
    'content-type: application/json\nx-request-id: 1\nset-cookie: a=b\nconnection: keep-alive',
    'Connection: close, X-Secret , x-other\nx-secret: 1\nX-Other: 2\nTransfer-Encoding: chunked\nx-kept: 3',
    'x-ratelimit-remaining-tokens: 5\nx-balancer-backend: forged\nCONTENT-LENGTH: 5\nstrict-transport-security: x',
    'accept: */*\nopenai-beta: x\ntraceparent: 00-1-2-01\nauthorization: Bearer x\napi-key: stolen\ncookie: a',
  ),
  words: wordsOf(
    'connection: ¦Connection:¦,¦ ¦\n¦:¦keep-alive¦close¦content-type¦x-kept: 1\n¦accept¦host: x\n',
    'x-balancer-trace: a¦te: trailers¦upgrade: websocket¦x-ratelimit-limit-tokens: 1¦authorization',
    'api-key: x',
  ),
  check(bytes, chance) {
    const raw: string[] = [];
    for (const line of bytes.toString('latin1').split('\n')) {
      const colon = line.indexOf(':');
      if (colon > 0) raw.push(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
    const own = chance.oneIn(2)
      ? ['x-balancer-backend', 'a']
      : ['x-balancer-backend', 'a', 'x-ratelimit-limit-tokens', '5'];
    const given = callerHeaders(raw, own);
    assert.deepEqual(given.slice(-own.length), own);
    const named = new Set(
      pairsOf(raw)
        .flatMap(([name, value]) => (name === 'connection' ? value.toLowerCase().split(',') : []))
        .map((name) => name.trim()),
    );
    const expected = pairsOf(raw).filter(
      ([name]) =>
        !NOT_FOR_CALLERS.has(name) &&
        !OTHERS.has(name) &&
        !name.startsWith('x-balancer-') &&
        !(named.has(name) && !(named.size === 1 && (name === 'keep-alive' || name === 'close'))) &&
        !(own.length > 2 && name.startsWith('x-ratelimit-')),
    );
    assert.deepEqual(pairsOf(given.slice(0, -own.length)), expected);
    const sent = Object.fromEntries(pairsOf(raw));
    const upstream = upstreamHeaders(
      sent,
      'backend.example',
      { header: 'api-key', value: 'own' },
      chance.oneIn(2) ? 5 : undefined,
      'own-id',
    );
    for (const [name, value] of Object.entries(upstream)) {
      assert.ok(ALLOWED_UPSTREAM.has(name), name);
      if (name === 'x-ms-client-request-id')
        assert.ok(value === 'own-id' || CALLERS_IDS.some((id) => sent[id] === value));
      else if (ALLOWED.includes(name)) assert.equal(value, sent[name]);
    }
    assert.equal(upstream['api-key'], 'own');
    assert.equal(upstream['host'], 'backend.example');
    return `${Math.min(4, expected.length)} of ${Math.min(6, raw.length / 2)} ${named.size > 0}`;
  },
};

/** Where a caller may name the request; ours is sent where none of them is fit. */
const CALLERS_IDS = ['x-ms-client-request-id', 'x-request-id', 'x-client-request-id'];

const OTHERS: ReadonlySet<string> = new Set([
  'proxy-connection',
  'proxy-authenticate',
  'strict-transport-security',
  'alt-svc',
]);

/** Names in small letters. */
function pairsOf(list: readonly string[]): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < list.length; at += 2) pairs.push([(list[at] ?? '').toLowerCase(), list[at + 1] ?? '']);
  return pairs;
}
